// The system's zlib: Debian and Ubuntu have it in zlib1g-dev.
#include <zlib.h>
