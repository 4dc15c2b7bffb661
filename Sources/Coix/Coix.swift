@_exported import CoixParallel
