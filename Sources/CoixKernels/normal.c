// The log density of the normal distribution, summed over the elements of an event, and its gradient.

#include "internal.h"

#include <math.h>

typedef struct {
  const float *data;
  size_t element_stride, row_stride;
} normal_operand;

typedef struct {
  void (*density)(normal_operand x, normal_operand loc, normal_operand scale, float *out, size_t groups, size_t elements,
                  size_t rows);
  void (*slope)(const float *g, normal_operand x, normal_operand loc, normal_operand scale, float *dx, float *dloc,
                float *dscale, size_t groups, size_t elements, size_t rows);
} normal_table;

/// The operand from an element on.
static inline normal_operand at_element(normal_operand q, size_t element) {
  q.data += element * q.element_stride;
  return q;
}

/// The log-density of elements [0, count) of one row, summed, in double. A NaN among the values (not the parameters) counts as a
/// value outside of the support: the log-density is -inf.
static double normal_row(normal_operand x, normal_operand loc, normal_operand scale, size_t row, size_t count) {
  double sum = 0.0;
  for (size_t e = 0; e < count; e++) {
#define AT_ROW(q) ((double)(q).data[e * (q).element_stride + row * (q).row_stride])
    const double value = AT_ROW(x), s = AT_ROW(scale), z = (value - AT_ROW(loc)) / s;
    if (isnan(value)) return -INFINITY;
    sum -= 0.5 * z * z + log(2.5066282746310002 * s);
#undef AT_ROW
  }
  return sum;
}

#define COIX_TEMPLATE "Copies/normal_copy.h"
#include "copies.h"
COIX_CHOOSE(normal_table, kernels)

void coix_normal_log_density(const float *x, size_t x_element_stride, size_t x_row_stride,
                             const float *loc, size_t loc_element_stride, size_t loc_row_stride,
                             const float *scale, size_t scale_element_stride, size_t scale_row_stride,
                             float *out, size_t groups, size_t elements, size_t rows) {
  kernels->density((normal_operand){x, x_element_stride, x_row_stride}, (normal_operand){loc, loc_element_stride, loc_row_stride},
                   (normal_operand){scale, scale_element_stride, scale_row_stride}, out, groups, elements, rows);
}

void coix_normal_log_density_backward(const float *g,
                             const float *x, size_t x_element_stride, size_t x_row_stride,
                             const float *loc, size_t loc_element_stride, size_t loc_row_stride,
                             const float *scale, size_t scale_element_stride, size_t scale_row_stride,
                             float *dx, float *dloc, float *dscale,
                             size_t groups, size_t elements, size_t rows) {
  kernels->slope(g, (normal_operand){x, x_element_stride, x_row_stride}, (normal_operand){loc, loc_element_stride, loc_row_stride},
                 (normal_operand){scale, scale_element_stride, scale_row_stride}, dx, dloc, dscale, groups, elements, rows);
}
