"""Prints the names and the sums of an archive's arrays, as JSON: numpy_archive.py FILE.npz"""

import json
import sys

import numpy

json.dump({name: float(array.sum()) for name, array in numpy.load(sys.argv[1]).items()}, sys.stdout)
