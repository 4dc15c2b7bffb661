// Steps of gradient-based optimisers.

#include "internal.h"

typedef struct {
  float rate, decay, beta1, rest1, beta2, rest2, epsilon, correction1, correction2;
} adam_rates;

typedef struct {
  void (*adam)(float *p, const float *g, float *m, float *v, size_t count, const adam_rates *rates);
} optimiser_table;

#define COIX_TEMPLATE "Copies/optimiser_copy.h"
#include "copies.h"
COIX_CHOOSE(optimiser_table, kernels)

void coix_adam(float *parameter, const float *gradient, float *first_moment, float *second_moment, size_t count,
               float rate, float decay, double beta1, double beta2, float epsilon, float correction1, float correction2) {
  const adam_rates rates = {rate,         decay,        (float)beta1, (float)(1.0 - beta1), (float)beta2, (float)(1.0 - beta2),
                            epsilon,      correction1,  correction2};
  kernels->adam(parameter, gradient, first_moment, second_moment, count, &rates);
}
