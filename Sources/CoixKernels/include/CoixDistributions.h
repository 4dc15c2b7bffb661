// Log-densities of distributions, and draws from them. CoixKernels.h includes this file, and says how arrays lie.

#ifndef COIX_DISTRIBUTIONS_H
#define COIX_DISTRIBUTIONS_H

#include <stddef.h>
#include <stdint.h>

// MARK: - Normal density (normal.c)

/// out[g, r] = sum over e < elements of log Normal(x; loc, scale), for element (g, e) of `groups` x `elements`.
/// Operand q's element (g, e, r) lies at (g * elements + e) * q_element_stride + r * q_row_stride
/// (element_stride 0: one value for all elements; row_stride 0 or 1).
/// Per element: -0.5 ((x - loc)/scale)^2 - log(sqrt(2 pi) scale). The logarithm of a scale that is the same for
/// all rows is computed once. Sixty-four elements at a time are summed in single precision, the blocks in double:
/// the sum's error is at most 65 * 2^-24 times the sum of the elements' magnitudes, however many there are.
/// A row with a NaN among its x has density -inf, as outside of the support; NaN parameters give NaN.
void coix_normal_log_density(const float *x, size_t x_element_stride, size_t x_row_stride,
                             const float *loc, size_t loc_element_stride, size_t loc_row_stride,
                             const float *scale, size_t scale_element_stride, size_t scale_row_stride,
                             float *out, size_t groups, size_t elements, size_t rows);

/// The gradient of coix_normal_log_density for the seed g: [groups, rows]. dx, dloc, dscale: [groups, elements, rows]
/// each, nullable, overwritten: dx = -g (x-loc)/scale^2, dloc = -dx, dscale = g (((x-loc)/scale)^2 - 1)/scale. All
/// are 0 where g is 0, even if operands are NaN or infinite.
void coix_normal_log_density_backward(const float *g,
                             const float *x, size_t x_element_stride, size_t x_row_stride,
                             const float *loc, size_t loc_element_stride, size_t loc_row_stride,
                             const float *scale, size_t scale_element_stride, size_t scale_row_stride,
                             float *dx, float *dloc, float *dscale,
                             size_t groups, size_t elements, size_t rows);

// MARK: - Log-densities (density.c), computed in double

/// Families of distributions, with their operands in order: the value, then the parameters.
typedef enum {
  COIX_GAMMA_DENSITY,                     // x, concentration, rate
  COIX_INVERSE_GAMMA_DENSITY,             // x, concentration, rate
  COIX_BETA_DENSITY,                      // x, concentration near 1, concentration near 0
  COIX_LOG_BETA,                          // a, b: log B(a, b), not a density
  COIX_POISSON_DENSITY,                   // count, rate
  COIX_BINOMIAL_DENSITY,                  // count, trials, probability
  COIX_BINOMIAL_LOGITS_DENSITY,           // count, trials, log-odds
  COIX_NEGATIVE_BINOMIAL_DENSITY,         // count of successes, failures that end the trials, probability of a success
  COIX_NEGATIVE_BINOMIAL_LOGITS_DENSITY,  // count of successes, failures that end the trials, log-odds of a success
  COIX_NEGATIVE_BINOMIAL_MEAN_DENSITY,    // count, concentration, mean
  COIX_STUDENT_T_DENSITY,                 // x, degrees of freedom, location, scale
  COIX_CAUCHY_DENSITY,                    // x, location, scale
  COIX_HALF_CAUCHY_DENSITY,               // x, scale
  COIX_WEIBULL_DENSITY,                   // x, scale, concentration
  COIX_LAPLACE_DENSITY,                   // x, location, scale
  COIX_UNIFORM_DENSITY,                   // x, low, high
  COIX_TRUNCATED_NORMAL_DENSITY,          // x, location, scale, low, high; bounds may be infinite
  COIX_TRUNCATED_NORMAL_DRAW,             // draw, its uniform number, location, scale, low, high: not a density
} coix_density;

/// An operand whose element (o, r) lies at o * outer_stride + r * row_stride, row_stride 0 or 1.
typedef struct {
  const float *data;
  size_t outer_stride, row_stride;
} coix_operand;

/// out[o, r] = the log-density at the operands' elements (o, r), correct to 1 ulp. It is -inf for a value outside of the support
/// (a NaN counts as outside), and NaN for parameters outside of their domain.
void coix_log_density(coix_density family, const coix_operand *operands, float *out, size_t outer, size_t rows, int team);
/// slopes[k][o, r] = gradient[o, r] times the derivative with respect to operand k, for each k with non-null slopes[k]; all
/// arrays contiguous. Slopes are 0 where the gradient is 0, whatever the derivative; outside of the support; and where the
/// log-density is infinite.
void coix_log_density_backward(coix_density family, const coix_operand *operands, const float *gradient, float *const *slopes,
                               size_t outer, size_t rows, int team);

// MARK: - Log-densities of vectors (simplex.c), computed in double

/// Families of distributions of vectors, with their operands: the value, then the parameter.
typedef enum {
  COIX_DIRICHLET_DENSITY,           // probabilities, concentrations
  COIX_MULTINOMIAL_DENSITY,         // counts, probabilities
  COIX_MULTINOMIAL_LOGITS_DENSITY,  // counts, unnormalised log-probabilities
} coix_simplex_density;

/// out[g, r] = the log-density of the vector of `elements` numbers (g, e, r); an operand's number lies at (g * elements + e) *
/// outer_stride + r * row_stride. The result is -inf or NaN as in coix_log_density; a value with probabilities must sum to 1 up
/// to 1e-6.
void coix_simplex_log_density(coix_simplex_density family, coix_operand value, coix_operand parameter, float *out,
                              size_t groups, size_t elements, size_t rows);
/// The gradient of coix_simplex_log_density for the seed `gradient`: [groups, rows]; outputs [groups, elements,
/// rows] each, nullable, with zeros as in coix_log_density_backward.
void coix_simplex_log_density_backward(coix_simplex_density family, const float *gradient, coix_operand value,
                                       coix_operand parameter, float *value_slope, float *parameter_slope,
                                       size_t groups, size_t elements, size_t rows);

// MARK: - Random draws (random.c): Threefry-2x32, 20 rounds; JAX's partitionable counters

typedef struct { uint32_t word0, word1; } coix_key;

/// The indices of a draw's elements: lane r of element e has index row * row_stride + e * element_stride + offset.
/// With l = min(r, valid_rows - 1), row is row_numbers[l], or first_row + l if row_numbers is NULL. Outputs are
/// [elements, rows]. Padding rows (r >= valid_rows) thus repeat the last valid one.
typedef struct {
  uint64_t first_row, valid_rows, rows, elements, row_stride, element_stride, offset;
  const uint64_t *row_numbers;
} coix_draw;

/// The pair of words of the Threefry block for the counter (counter >> 32, counter & 0xffffffff).
coix_key coix_threefry(coix_key key, uint64_t counter);
/// word0 ^ word1 of block(key, index), for each element.
void coix_draw_bits(coix_key key, coix_draw draw, uint32_t *out, int team);
/// max(low, f * (high - low) + low), f in [0, 1) from the upper 23 bits.
void coix_draw_uniform(coix_key key, coix_draw draw, float low, float high, float *out, int team);
/// sqrt(2) * erfinv(u), u uniform in (-1, 1) from nextafter(-1, 0); Giles' float32 erfinv (w =
/// -log1p(-x*x), two polynomials of degree 8, switch at w = 5), as in XLA.
void coix_draw_normal(coix_key key, coix_draw draw, float *out, int team);
/// loc + scale * normal, with operands as in coix_normal_log_density (element e, lane r); the standard
/// normal itself also goes to `noise` [elements, rows] unless that is NULL. A result too large for a
/// float becomes the largest float.
void coix_draw_normal_affine(coix_key key, coix_draw draw,
                             const float *loc, size_t loc_element_stride, size_t loc_row_stride,
                             const float *scale, size_t scale_element_stride, size_t scale_row_stride,
                             float *noise, float *out, int team);
/// -log(-log u), u uniform in [least normal float, 1).
void coix_draw_gumbel(coix_key key, coix_draw draw, float *out, int team);
/// JAX's randint: k1, k2 = split(key); h, l = bits of each; span = high - low (1 if high <= low);
/// m = (2^16 mod span)^2 mod span; low + ((h mod span) * m + l mod span) mod span, in uint32 arithmetic.
void coix_draw_randint(coix_key key, coix_draw draw, int32_t low, int32_t high, int32_t *out, int team);
/// Gamma numbers of shape alpha and rate 1 (gamma.c), or, if logarithmic != 0, their logarithms, which don't underflow for small alpha.
/// alpha's element (e, lane r) lies at e * alpha_element_stride + r * alpha_row_stride, row_stride 0 or 1.
/// Every element has a key of its own, split off for its index. The keys and the order of the tests are JAX's.
void coix_draw_gamma(coix_key key, coix_draw draw, const float *alpha, size_t alpha_element_stride,
                     size_t alpha_row_stride, int logarithmic, float *out, int team);
/// out = gradient * d sample / d alpha for the gamma numbers above, or their logarithms: the implicit derivative (gamma_slope.c).
/// sample, gradient, out: [elements, rows]; alpha's strides as above. 0 where the gradient or the number is 0; out may be gradient.
void coix_gamma_slope(const float *alpha, size_t alpha_element_stride, size_t alpha_row_stride, const float *sample,
                      int logarithmic, const float *gradient, float *out, size_t elements, size_t rows);
/// Binomial counts of n trials with success probability p (binomial.c): NumPyro's algorithms, keys and order of the tests. NaN
/// where n is not a whole number of at least 0, or p is not in [0, 1]. The strides of p and n are like those of alpha above.
void coix_draw_binomial(coix_key key, coix_draw draw, const float *p, size_t p_element_stride, size_t p_row_stride,
                        const float *n, size_t n_element_stride, size_t n_row_stride, float *out, int team);

// MARK: - The von Mises distribution (von_mises.c)

/// y[i] = log(I0(x) exp(-|x|)) for x = x[i], I0 the modified Bessel function; and its gradient, dx[i] = dy[i] * (I1(x) / I0(x) - 1) for
/// x >= 0.
void coix_log_bessel_i0(const float *x, float *y, size_t count);
void coix_log_bessel_i0_backward(const float *x, const float *dy, float *dx, size_t count);
/// One round of rejection for angles around 0, from numbers u uniform in [-1, 1) and v in [0, 1): where open is not 0, angle
/// becomes the proposal's absolute value, and open becomes 0 if the proposal is accepted. If the concentration is not a finite
/// number of at least 0, angle becomes NaN and open 0.
/// u, v, angle, open: [elements, rows]; concentration's strides as above.
void coix_von_mises_round(const float *concentration, size_t concentration_element_stride, size_t concentration_row_stride,
                          const float *u, const float *v, float *angle, float *open, size_t elements, size_t rows);

#endif
