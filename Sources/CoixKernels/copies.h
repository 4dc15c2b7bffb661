// Includes COIX_TEMPLATE once for each instruction set, so that every function in it exists as
// name_avx512, name_avx2 and name_baseline. The file that includes this one must include all system
// headers first. Arithmetic is never contracted by the compiler: where a fused multiply-add is
// wanted the code says so (v_fma), so that a number's bits don't depend on the shape of the loop
// around it. AVX-512 and AVX2 copies then give the same bits; the baseline has no fused
// multiply-add and may differ from them by rounding.

#include "internal.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wpsabi" // wide vectors are only passed between inlined functions
#pragma clang diagnostic ignored "-Wunused-function"

#define COIX_JOIN_(name, suffix) name##_##suffix
#define COIX_JOIN(name, suffix) COIX_JOIN_(name, suffix)
#define COPY(name) COIX_JOIN(name, COIX_SUFFIX)
#define INLINE static inline __attribute__((always_inline))

#include "Copies/vector_types.h"

#if defined(__x86_64__)

#define COIX_SUFFIX avx512
#define COIX_FMA 1
#define COIX_NATIVE 16
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#include "Copies/vector_math.h"
#include COIX_TEMPLATE
#pragma clang attribute pop
#undef COIX_SUFFIX
#undef COIX_NATIVE

#define COIX_SUFFIX avx2
#define COIX_NATIVE 8
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "Copies/vector_math.h"
#include COIX_TEMPLATE
#pragma clang attribute pop
#undef COIX_SUFFIX
#undef COIX_FMA
#undef COIX_NATIVE

#endif

#define COIX_SUFFIX baseline
#if defined(__aarch64__)
#define COIX_FMA 1
#else
#define COIX_FMA 0
#endif
#define COIX_NATIVE 4
#include "Copies/vector_math.h"
#include COIX_TEMPLATE
