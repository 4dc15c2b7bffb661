// Log-densities of vectors and their derivatives, in double inside. Part of every copy (see copies.h).
//
// For each family NAME there are NAME_value, the log-density of sixteen vectors, and NAME_slopes, its derivatives with respect to
// one element of value and parameter. The rules are those of density_copy.h.

#include "wide_gamma.h"

/// Sixteen vectors, one for each row from `row` on, of which the first `count` exist; each has `elements` numbers.
typedef struct {
  coix_operand value, parameter;
  size_t elements, row, count;
} COPY(vectors);
#define vectors COPY(vectors)

INLINE v16d COPY(number)(coix_operand q, size_t e, size_t i, size_t n) {
  const float *data = q.data + e * q.outer_stride;
  return v_widen(n == 16 ? v_operand(data, q.row_stride, i) : v_operand_part(data, q.row_stride, i, n));
}
#define VALUE_AT(v, e) COPY(number)((v)->value, e, (v)->row, (v)->count)
#define PARAMETER_AT(v, e) COPY(number)((v)->parameter, e, (v)->row, (v)->count)

/// What depends on all elements of a vector together.
typedef struct {
  v16l legal, inside; // whether the parameters are legal; whether the value is in the support and its density not 0
  v16d sum, total; // sums of the parameters (for logits, the logarithm of the sum of exponentials) and of the value
} COPY(whole);
#define whole COPY(whole)

// MARK: Dirichlet

INLINE whole COPY(dirichlet_whole)(const vectors *v) {
  whole w = {(v16l)(-1), (v16l)(-1), (v16d)(0.0), (v16d)(0.0)};
  for (size_t e = 0; e < v->elements; e++) {
    v16d x = VALUE_AT(v, e), a = PARAMETER_AT(v, e);
    w.legal &= IS_POSITIVE(a);
    w.inside &= (x >= 0.0) & ~((x == 0.0) & (a > 1.0));
    w.sum += a;
    w.total += x;
  }
  w.inside &= v_wide_abs(w.total - 1.0) < 1e-6;
  return w;
}

static v16d COPY(dirichlet_value)(const vectors *v) {
  whole w = COPY(dirichlet_whole)(v);
  v16d sum = w.legal ? w.sum : 1.0;
  v16d y = v_stirling_error(sum) + HALF_LOG_2PI - 0.5 * v_wide_log_of(sum) + sum * (w.total - 1.0);
  for (size_t e = 0; e < v->elements; e++) {
    v16d x = VALUE_AT(v, e), a = PARAMETER_AT(v, e);
    a = w.legal ? a : 1.0;
    v16d at = x > 0.0 ? x : 1.0;
    v16d term = 0.5 * v_wide_log_of(a) - v_deviance(a, sum * at) - v_stirling_error(a) - HALF_LOG_2PI - v_wide_log_of(at);
    y += x > 0.0 ? term : a < 1.0 ? (v16d)(INFINITY) : v_wide_log_of(sum);
  }
  return v_judged(w.legal, w.inside, y);
}

/// The same, but not `inside` where the density is infinite, so that slopes are 0 there, too.
INLINE whole COPY(dirichlet_start)(const vectors *v) {
  whole w = COPY(dirichlet_whole)(v);
  for (size_t e = 0; e < v->elements; e++) w.inside &= ~((VALUE_AT(v, e) == 0.0) & (PARAMETER_AT(v, e) < 1.0));
  return w;
}
INLINE void COPY(dirichlet_slopes)(const vectors *v, const whole *w, size_t e, v16d *d) {
  v16d x = VALUE_AT(v, e), a = PARAMETER_AT(v, e);
  v16d at = x > 0.0 ? x : 1.0, rest = w->sum - a;
  d[0] = v_judged_slope(w->legal, w->inside, x > 0.0 ? (a - 1.0) / at : (v16d)(0.0));
  d[1] = v_judged_slope(w->legal, w->inside, v_log_plus_step(at, v_wide_log_of(at), a, rest < 0.0 ? 0.0 : rest));
}

// MARK: Multinomial

/// The term of the log-probability for a category of probability p that comes up in x of n trials, without the term that all
/// categories share.
INLINE v16d COPY(category_term)(v16d x, v16d n, v16d p, v16d log_p) {
  v16d safe = v_stand_in(x), m = n * p;
  v16l tiny = log_p < -600.0;
  v16d deviance = tiny ? safe * (v_wide_log_of(safe / n) - log_p) + (m - safe) : v_deviance(safe, tiny ? 1.0 : m);
  v16d term = -deviance - v_stirling_error(safe) - HALF_LOG_2PI - 0.5 * v_wide_log_of(safe);
  return x > 0.0 ? term : -m;
}
/// The term of the log-probability that all categories share.
INLINE v16d COPY(trials_term)(v16d n) {
  v16d safe = v_stand_in(n);
  return n > 0.0 ? v_stirling_error(safe) + HALF_LOG_2PI + 0.5 * v_wide_log_of(safe) : (v16d)(0.0);
}

INLINE whole COPY(multinomial_start)(const vectors *v) {
  whole w = {(v16l)(-1), (v16l)(-1), (v16d)(0.0), (v16d)(0.0)};
  for (size_t e = 0; e < v->elements; e++) {
    v16d x = VALUE_AT(v, e), p = PARAMETER_AT(v, e);
    w.legal &= (p >= 0.0) & (p < INFINITY);
    w.inside &= IS_COUNT(x) & ((x == 0.0) | (p > 0.0));
    w.sum += p;
    w.total += x;
  }
  return w;
}
static v16d COPY(multinomial_value)(const vectors *v) {
  whole w = COPY(multinomial_start)(v);
  v16d y = COPY(trials_term)(w.total) + w.total * (w.sum - 1.0);
  for (size_t e = 0; e < v->elements; e++) {
    v16d p = PARAMETER_AT(v, e);
    y += COPY(category_term)(VALUE_AT(v, e), w.total, p, (v16d)(0.0));
  }
  return v_judged(w.legal, w.inside, y);
}
INLINE void COPY(multinomial_slopes)(const vectors *v, const whole *w, size_t e, v16d *d) {
  v16d x = VALUE_AT(v, e), p = PARAMETER_AT(v, e), at = p > 0.0 ? p : 1.0;
  d[0] = v_judged_slope(w->legal, w->inside, v_wide_log_of(at) - v_wide_log_of(v_stand_in(x)) - v_count_excess(x));
  d[1] = v_judged_slope(w->legal, w->inside, x > 0.0 ? x / at : (v16d)(0.0));
}

INLINE whole COPY(multinomial_logits_start)(const vectors *v) {
  whole w = {(v16l)(-1), (v16l)(-1), (v16d)(0.0), (v16d)(0.0)};
  v16d greatest = (v16d)(-INFINITY);
  for (size_t e = 0; e < v->elements; e++) {
    v16d x = VALUE_AT(v, e), l = PARAMETER_AT(v, e);
    w.legal &= l < INFINITY;
    w.inside &= IS_COUNT(x) & ((x == 0.0) | (l > -INFINITY));
    greatest = l > greatest ? l : greatest;
    w.total += x;
  }
  w.legal &= greatest > -INFINITY;
  greatest = w.legal ? greatest : 0.0;
  v16d mass = (v16d)(0.0);
  for (size_t e = 0; e < v->elements; e++) mass += v_wide_exp(w.legal ? PARAMETER_AT(v, e) - greatest : 0.0);
  w.sum = greatest + v_wide_log_of(mass);
  return w;
}
static v16d COPY(multinomial_logits_value)(const vectors *v) {
  whole w = COPY(multinomial_logits_start)(v);
  v16d y = COPY(trials_term)(w.total);
  for (size_t e = 0; e < v->elements; e++) {
    v16d log_p = w.legal ? PARAMETER_AT(v, e) - w.sum : 0.0;
    y += COPY(category_term)(VALUE_AT(v, e), w.total, v_wide_exp(log_p), log_p);
  }
  return v_judged(w.legal, w.inside, y);
}
INLINE void COPY(multinomial_logits_slopes)(const vectors *v, const whole *w, size_t e, v16d *d) {
  v16d x = VALUE_AT(v, e), log_p = w->legal ? PARAMETER_AT(v, e) - w->sum : 0.0;
  v16d at = log_p > -INFINITY ? log_p : 0.0;
  d[0] = v_judged_slope(w->legal, w->inside, at - v_wide_log_of(v_stand_in(x)) - v_count_excess(x));
  d[1] = v_judged_slope(w->legal, w->inside, x - w->total * v_wide_exp(log_p));
}

// MARK: Kernels over rows

#define KERNELS(id, name)                                                                          \
  static void COPY(name##_values)(coix_operand value, coix_operand parameter, float *out,          \
                                  size_t elements, size_t rows) {                                  \
    for (size_t i = 0; i < rows; i += 16) {                                                        \
      const vectors v = {value, parameter, elements, i, coix_min(16, rows - i)};                   \
      COPY(store_numbers)(out + i, COPY(name##_value)(&v), v.count);                               \
    }                                                                                              \
  }                                                                                                \
  static void COPY(name##_backward)(const float *gradient, coix_operand value,                     \
                                    coix_operand parameter, float *value_slope,                    \
                                    float *parameter_slope, size_t elements, size_t rows) {        \
    for (size_t i = 0; i < rows; i += 16) {                                                        \
      const vectors v = {value, parameter, elements, i, coix_min(16, rows - i)};                   \
      const whole w = COPY(name##_start)(&v);                                                      \
      v16d g = v_widen(v.count == 16 ? v_load(gradient + i) : v_load_part(gradient + i, v.count)); \
      for (size_t e = 0; e < elements; e++) {                                                      \
        v16d d[2];                                                                                 \
        COPY(name##_slopes)(&v, &w, e, d);                                                         \
        for (int k = 0; k < 2; k++) {                                                              \
          float *target = k ? parameter_slope : value_slope;                                       \
          v16d y = g == 0.0 ? (v16d)(0.0) : g * d[k];                                              \
          if (target) COPY(store_numbers)(target + e * rows + i, y, v.count);                      \
        }                                                                                          \
      }                                                                                            \
    }                                                                                              \
  }

INLINE void COPY(store_numbers)(float *out, v16d wide, size_t n) {
  if (n == 16) v_store(out, v_narrow(wide));
  else v_store_part(out, v_narrow(wide), n);
}

SIMPLEX_DENSITIES(KERNELS)

#define ENTRY(id, name) [id] = {COPY(name##_values), COPY(name##_backward)},
static const simplex_table COPY(table) = {{SIMPLEX_DENSITIES(ENTRY)}};
#undef ENTRY
#undef KERNELS
#undef VALUE_AT
#undef PARAMETER_AT
#undef vectors
#undef whole
