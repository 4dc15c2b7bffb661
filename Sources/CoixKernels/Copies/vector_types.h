// Vectors have sixteen lanes on every machine: the compiler makes one, two or four registers of
// them.

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef float v16 __attribute__((ext_vector_type(16)));
typedef int32_t v16i __attribute__((ext_vector_type(16)));
typedef uint32_t v16u __attribute__((ext_vector_type(16)));
typedef double v16d __attribute__((ext_vector_type(16)));
typedef int64_t v16l __attribute__((ext_vector_type(16)));

// The same types in memory, where they need not be aligned to more than 4 bytes.
typedef float v16_memory __attribute__((ext_vector_type(16), aligned(4)));
typedef int32_t v16i_memory __attribute__((ext_vector_type(16), aligned(4)));
typedef uint32_t v16u_memory __attribute__((ext_vector_type(16), aligned(4)));

// Each name means the current copy's function.
#define v_load COPY(v_load)
#define v_load_part COPY(v_load_part)
#define v_store COPY(v_store)
#define v_store_part COPY(v_store_part)
#define v_operand COPY(v_operand)
#define v_operand_part COPY(v_operand_part)
#define v_bits COPY(v_bits)
#define v_from_bits COPY(v_from_bits)
#define v_fma COPY(v_fma)
#define v_max COPY(v_max)
#define v_min COPY(v_min)
#define v_abs COPY(v_abs)
#define v_copysign COPY(v_copysign)
#define v_sqrt COPY(v_sqrt)
#define v_floor COPY(v_floor)
#define v_widen COPY(v_widen)
#define v_narrow COPY(v_narrow)
#define v_sum COPY(v_sum)
#define v_wide_sum COPY(v_wide_sum)
#define v_wide_nearest COPY(v_wide_nearest)
#define v_wide_fma COPY(v_wide_fma)
#define v_wide_exp COPY(v_wide_exp)
#define v_wide_log COPY(v_wide_log)
#define v_exp COPY(v_exp)
#define v_exp_reduced COPY(v_exp_reduced)
#define v_expm1 COPY(v_expm1)
#define v_log COPY(v_log)
#define v_log_core COPY(v_log_core)
#define v_log1p_inside COPY(v_log1p_inside)
#define v_log1p COPY(v_log1p)
#define v_tanh COPY(v_tanh)
#define v_sigmoid COPY(v_sigmoid)
#define v_softplus COPY(v_softplus)
#define v_relu COPY(v_relu)
#define v_erfinv_of COPY(v_erfinv_of)
#define v_erfinv_inside COPY(v_erfinv_inside)
#define v_erfinv COPY(v_erfinv)
