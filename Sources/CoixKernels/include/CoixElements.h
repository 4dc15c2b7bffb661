// Functions of the elements of arrays, and reductions of them. CoixKernels.h includes this file, and says how arrays lie.

#ifndef COIX_ELEMENTS_H
#define COIX_ELEMENTS_H

#include <stddef.h>
#include <stdint.h>

// MARK: - Elementwise (elementwise.c)

/// The functions of one number: their constant, their name in the kernels, and roughly the nanoseconds that an element takes
/// (which only decide whether to use a team). This is the only list of them: a new function needs a line here, and its value
/// and slope in elementwise_copy.h.
#define COIX_UNARY_OPS(OP) \
  OP(COIX_NEGATE, negate, 0.2f) \
  OP(COIX_EXP, exp_, 0.6f) \
  OP(COIX_EXPM1, expm1_, 0.8f) \
  OP(COIX_LOG, log_, 0.8f) \
  OP(COIX_LOG1P, log1p_, 1.2f) \
  OP(COIX_SQRT, sqrt_, 0.4f) \
  OP(COIX_TANH_OP, tanh_, 1.2f) \
  OP(COIX_SIGMOID_OP, sigmoid, 0.8f) \
  OP(COIX_SOFTPLUS_OP, softplus, 1.8f) \
  OP(COIX_RELU_OP, relu, 0.2f) \
  OP(COIX_ABS, abs_, 0.2f) \
  OP(COIX_SQUARE, square, 0.2f) \
  OP(COIX_RECIPROCAL, reciprocal, 0.4f) \
  OP(COIX_SIN, sin_, 2.0f) \
  OP(COIX_COS, cos_, 2.0f) \
  OP(COIX_SIGN, sign, 0.2f) \
  OP(COIX_FLOOR, floor_, 0.2f) \
  OP(COIX_LOGGAMMA, loggamma, 8.0f) \
  OP(COIX_DIGAMMA, digamma, 12.0f) \
  OP(COIX_ERFINV, erfinv, 1.5f) \
  OP(COIX_NORMAL_CDF, normal_cdf, 20.0f) \
  OP(COIX_LOG_NORMAL_CDF, log_normal_cdf, 25.0f) \
  OP(COIX_NORMAL_QUANTILE, normal_quantile, 60.0f)

/// The functions of two numbers, in the same form. SEED_MULTIPLY and SEED_DIVIDE are the product and the quotient of a gradient
/// and another number, with one exception: where the gradient is 0 the result is 0, whatever the other number.
#define COIX_BINARY_OPS(OP) \
  OP(COIX_ADD, add, 0.3f) \
  OP(COIX_SUBTRACT, subtract, 0.3f) \
  OP(COIX_MULTIPLY, multiply, 0.3f) \
  OP(COIX_DIVIDE, divide, 0.3f) \
  OP(COIX_POWER, power, 10.0f) \
  OP(COIX_MAXIMUM, maximum, 0.3f) \
  OP(COIX_MINIMUM, minimum, 0.3f) \
  OP(COIX_LESS, less, 0.3f) \
  OP(COIX_LESS_EQUAL, less_equal, 0.3f) \
  OP(COIX_GREATER, greater, 0.3f) \
  OP(COIX_GREATER_EQUAL, greater_equal, 0.3f) \
  OP(COIX_EQUAL, equal, 0.3f) \
  OP(COIX_NOT_EQUAL, not_equal, 0.3f) \
  OP(COIX_SEED_MULTIPLY, seed_multiply, 0.3f) \
  OP(COIX_SEED_DIVIDE, seed_divide, 0.3f)

#define COIX_CONSTANT(constant, name, cost) constant,
typedef enum { COIX_UNARY_OPS(COIX_CONSTANT) COIX_UNARY_COUNT } coix_unary_op;
typedef enum { COIX_BINARY_OPS(COIX_CONSTANT) COIX_BINARY_COUNT } coix_binary_op;

/// y[i] = op(x[i]) for i < count. y may be x.
void coix_unary(coix_unary_op op, const float *x, float *y, size_t count, int team);
/// dx[i] = dy[i] * op'(x[i]), where y[i] = op(x[i]). dx may be dy. (SIGN, FLOOR: 0. ABS at 0: 0. RELU at 0: 0.)
/// dx is 0 where dy is 0, even if the derivative is infinite or NaN.
/// DIGAMMA's derivative is trigamma; ERFINV's is sqrt(pi)/2 exp(y^2); NORMAL_QUANTILE's sqrt(2 pi) exp(y^2/2).
void coix_unary_backward(coix_unary_op op, const float *x, const float *y, const float *dy, float *dx,
                         size_t count, int team);

/// out[o, r] = op(a, b) for o < outer, r < rows, out contiguous; operand element (o, r) lies at
/// o * outer_stride + r * row_stride, row_stride 0 or 1. Comparisons give 1 or 0.
/// POWER follows C's pow at its special values (0^0 = 1, negative base with integer exponent).
void coix_binary(coix_binary_op op, const float *a, size_t a_outer_stride, size_t a_row_stride,
                 const float *b, size_t b_outer_stride, size_t b_row_stride,
                 float *out, size_t outer, size_t rows, int team);

/// out[o, r] = condition(o, r) != 0 ? a(o, r) : b(o, r), with strides as in coix_binary.
void coix_select(const float *condition, size_t c_outer_stride, size_t c_row_stride,
                 const float *a, size_t a_outer_stride, size_t a_row_stride,
                 const float *b, size_t b_outer_stride, size_t b_row_stride,
                 float *out, size_t outer, size_t rows, int team);

/// y[i] = value.
void coix_fill(float *y, float value, size_t count, int team);
/// destination[o * destination_outer_stride + i] = source[o * source_outer_stride + i * source_stride] for o < outer, i < count.
void coix_copy(const float *source, size_t source_outer_stride, size_t source_stride, float *destination,
               size_t destination_outer_stride, size_t outer, size_t count);
/// destination[i] = source[i], where they don't overlap. It is no operation: a region that it has ends with it.
void coix_copy_whole(const float *source, float *destination, size_t count, int team);
/// Whether all elements are 0 (and none is NaN).
int coix_is_zero(const float *x, size_t count);
/// Whether all elements are at least `low` and at most `high`; NaN is not.
int coix_is_within(const float *x, float low, float high, size_t count);
/// y[i] += x[i].
void coix_accumulate(float *y, const float *x, size_t count, int team);
/// The index of the first element that is NaN or whose magnitude is greater than the limit (which is positive and finite), or -1.
int64_t coix_first_above(const float *x, size_t count, float limit);

// MARK: - Reductions (reduce.c)

typedef enum { COIX_SUM, COIX_MAX, COIX_MIN, COIX_LOGSUMEXP } coix_reduction;

/// out[o, i] = reduction over k < n of x[o, k, i]; x: [outer, n, inner], out: [outer, inner].
/// Sums with inner == 1 are taken in blocks of fixed size, in double; vertical sums (inner > 1) in float for n <=
/// 64, else in double. LOGSUMEXP: max first; all -inf gives -inf; +inf gives +inf; NaN propagates. MAX/MIN
/// propagate NaN.
void coix_reduce(coix_reduction op, const float *x, float *out, size_t outer, size_t n, size_t inner, int team);

/// Log-sum-exp of a single row x[0 ..< n], n > 0, in parts that ranks may compute: maxima of blocks [first, end); then, with the
/// greatest of all blocks' (coix_row_max), the sums of exp(x - shift). The result is shift + log(the blocks' sums, added in order), or
/// the greatest itself if that is not finite. A block has coix_row_block(n) numbers, the last one what is left; there are at most
/// 512 of them.
size_t coix_row_block(size_t n);
void coix_row_block_maxima(const float *x, float *maxima, size_t n, size_t first, size_t end, int team);
float coix_row_max(const float *maxima, size_t blocks);
void coix_row_block_sums_exp(const float *x, double *sums, float shift, size_t n, size_t first, size_t end, int team);

/// y[o, k, i] = softmax over k of x (logarithmic != 0: log-softmax).
void coix_softmax(const float *x, float *y, size_t outer, size_t n, size_t inner, int logarithmic, int team);
/// dx[o, k, i] = gradient[o, i] * softmax over k of x: the backward pass of LOGSUMEXP. 0 where x is -inf, or the gradient 0.
void coix_logsumexp_backward(const float *x, const float *gradient, float *dx, size_t outer, size_t n, size_t inner, int team);
/// The same for n numbers of a row of any length, given the greatest of all its numbers and the sum of their exp(x - greatest).
void coix_logsumexp_backward_part(const float *x, const float *gradient, float *dx, size_t n, float greatest, double sum, int team);

/// out[o, i] = index (as float) of the first largest x[o, k, i] over k; NaN counts as largest.
void coix_argmax(const float *x, float *out, size_t outer, size_t n, size_t inner);

/// y[o, k, i] = sum over j <= k (or, if backward != 0, over j >= k) of x[o, j, i]. Within a block of sixteen, terms are added one
/// after the other; the sum of all terms before a block is computed in the same way from the blocks' totals. XLA's CPU compiler
/// does the same: the bits (forward) are those of jnp.cumsum, and up to sixteen terms those of a plain loop. With L = ceil(log16
/// n) levels the error is at most 17 L 2^-24 sum |x|.
void coix_cumsum(const float *x, float *y, size_t outer, size_t n, size_t inner, int backward);

/// bound[k] is where a uniform number passes from category k to the next, for k < n - 1: sum[k] / sum[n - 1], where `sum` has the
/// running sums of the probabilities. probability, sum: [outer, n, inner]; bound: [outer, n - 1, inner]. The number of bounds
/// below u in [0, 1) is u's category. Bounds never decrease, and leave no room for a category of probability 0. Its bound equals
/// the bound before it. If no category before it has a probability above 0, its bound is -inf, which every u passes; if no
/// category after it has one, the bound before it is +inf, which no u passes.
void coix_category_bounds(const float *probability, const float *sum, float *bound, size_t outer, size_t n, size_t inner);
/// out[o, r] = the number of n such bounds, `step` apart, below uniform(o, r); strides as in coix_binary.
void coix_categories(const float *bound, size_t step, size_t n, size_t b_outer_stride, size_t b_row_stride, const float *uniform,
                     size_t u_outer_stride, size_t u_row_stride, float *out, size_t outer, size_t rows);

#endif
