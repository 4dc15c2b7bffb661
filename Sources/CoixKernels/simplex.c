// Log-densities of the Dirichlet and the multinomial distribution, summed over the vector in double; see density.c.

#include "internal.h"

#define SIMPLEX_DENSITIES(FAMILY)                                                                  \
  FAMILY(COIX_DIRICHLET_DENSITY, dirichlet)                                                        \
  FAMILY(COIX_MULTINOMIAL_DENSITY, multinomial)                                                    \
  FAMILY(COIX_MULTINOMIAL_LOGITS_DENSITY, multinomial_logits)

#define COUNT(id, name) +1
#define FAMILY_COUNT (0 SIMPLEX_DENSITIES(COUNT))

typedef struct {
  struct {
    void (*values)(coix_operand value, coix_operand parameter, float *out, size_t elements, size_t rows);
    void (*backward)(const float *gradient, coix_operand value, coix_operand parameter, float *value_slope,
                     float *parameter_slope, size_t elements, size_t rows);
  } families[FAMILY_COUNT];
} simplex_table;

#define COIX_TEMPLATE "Copies/simplex_copy.h"
#include "copies.h"
COIX_CHOOSE(simplex_table, kernels)

/// The operand at the first element of group g.
static inline coix_operand at_group(coix_operand q, size_t g, size_t elements) {
  return (coix_operand){q.data + g * elements * q.outer_stride, q.outer_stride, q.row_stride};
}

void coix_simplex_log_density(coix_simplex_density family, coix_operand value, coix_operand parameter, float *out,
                              size_t groups, size_t elements, size_t rows) {
  for (size_t g = 0; g < groups; g++)
    kernels->families[family].values(at_group(value, g, elements), at_group(parameter, g, elements), out + g * rows,
                                     elements, rows);
}

void coix_simplex_log_density_backward(coix_simplex_density family, const float *gradient, coix_operand value,
                                       coix_operand parameter, float *value_slope, float *parameter_slope,
                                       size_t groups, size_t elements, size_t rows) {
  const size_t size = elements * rows;
  for (size_t g = 0; g < groups; g++)
    kernels->families[family].backward(gradient + g * rows, at_group(value, g, elements), at_group(parameter, g, elements),
                                       value_slope ? value_slope + g * size : NULL,
                                       parameter_slope ? parameter_slope + g * size : NULL, elements, rows);
}
