// Log-densities of families of distributions, and their gradients: one pass over the elements, computed in double.
//
// Logarithms of gamma functions are never subtracted from each other, since for large arguments rounding would leave nothing of
// the difference. Instead, their small differences from Stirling's formula are subtracted, and the terms of Stirling's formula
// are combined analytically, after C. Loader, "Fast and accurate computation of binomial probabilities" (2000).

#include "internal.h"
#include "truncated_normal.h"

#include <float.h>

/// Every family: its name in coix_density, that of its functions, and how many operands it has.
#define DENSITIES(FAMILY)                                                                          \
  FAMILY(COIX_GAMMA_DENSITY, gamma, 3)                                                             \
  FAMILY(COIX_INVERSE_GAMMA_DENSITY, inverse_gamma, 3)                                             \
  FAMILY(COIX_BETA_DENSITY, beta, 3)                                                               \
  FAMILY(COIX_LOG_BETA, log_beta, 2)                                                               \
  FAMILY(COIX_POISSON_DENSITY, poisson, 2)                                                         \
  FAMILY(COIX_BINOMIAL_DENSITY, binomial, 3)                                                       \
  FAMILY(COIX_BINOMIAL_LOGITS_DENSITY, binomial_logits, 3)                                         \
  FAMILY(COIX_NEGATIVE_BINOMIAL_DENSITY, negative_binomial, 3)                                     \
  FAMILY(COIX_NEGATIVE_BINOMIAL_LOGITS_DENSITY, negative_binomial_logits, 3)                       \
  FAMILY(COIX_NEGATIVE_BINOMIAL_MEAN_DENSITY, negative_binomial_mean, 3)                           \
  FAMILY(COIX_STUDENT_T_DENSITY, student_t, 4)                                                     \
  FAMILY(COIX_CAUCHY_DENSITY, cauchy, 3)                                                           \
  FAMILY(COIX_HALF_CAUCHY_DENSITY, half_cauchy, 2)                                                 \
  FAMILY(COIX_WEIBULL_DENSITY, weibull, 3)                                                         \
  FAMILY(COIX_LAPLACE_DENSITY, laplace, 3)                                                         \
  FAMILY(COIX_UNIFORM_DENSITY, uniform, 3)                                                         \
  FAMILY(COIX_TRUNCATED_NORMAL_DENSITY, truncated_normal, 5)                                       \
  FAMILY(COIX_TRUNCATED_NORMAL_DRAW, truncated_normal_draw, 6)

#define COUNT(id, name, arity) +1
#define FAMILY_COUNT (0 DENSITIES(COUNT))

typedef coix_operand density_operand;

typedef struct {
  struct {
    void (*values)(const density_operand *operands, size_t o, float *out, size_t count);
    void (*backward)(const density_operand *operands, size_t o, const float *gradient, float *const *out, size_t count);
  } families[FAMILY_COUNT];
} density_table;

#define COIX_TEMPLATE "Copies/density_copy.h"
#include "copies.h"
COIX_CHOOSE(density_table, kernels)

/// Nanoseconds an element, roughly: decides only whether a team is worth waking.
#define COST 40.0

void coix_log_density(coix_density family, const coix_operand *operands, float *out, size_t outer, size_t rows, int team) {
  COIX_FOR(o, outer, coix_team_for((double)outer * (double)rows * COST, team),
           kernels->families[family].values(operands, o, out + o * rows, rows));
}

void coix_log_density_backward(coix_density family, const coix_operand *operands, const float *gradient, float *const *slopes,
                               size_t outer, size_t rows, int team) {
  COIX_FOR(o, outer, coix_team_for((double)outer * (double)rows * COST, team),
           kernels->families[family].backward(operands, o, gradient, slopes, rows));
}
