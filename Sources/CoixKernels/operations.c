// Runs lists of operations.

#include "internal.h"

#include <math.h>

#define READS(constant, writes, reads, traits) [constant] = {writes, reads, traits},
static const struct { uint8_t writes, reads, traits; } kinds[] = {COIX_OPERATIONS(READS)};
#undef READS

int coix_operation_writes(uint16_t code) { return kinds[code].writes; }
int coix_operation_reads(uint16_t code) { return kinds[code].reads; }
int coix_operation_traits_of(uint16_t code) { return kinds[code].traits; }

/// A draw on the rows of a chunk.
static coix_draw placed(const coix_operation *op, const coix_place *place) {
  const size_t kind = op->sizes[0], elements = op->sizes[1], row_stride = op->sizes[2], particle_stride = op->sizes[3];
  coix_draw draw = {.row_stride = row_stride, .element_stride = op->sizes[4], .offset = op->sizes[5]};
  if (kind == 0) {
    // Elements take the role of rows, and so fill the vector lanes.
    draw.valid_rows = draw.rows = elements;
    draw.elements = 1;
    draw.element_stride = 0;
    return draw;
  }
  draw.first_row = place->first_row;
  draw.valid_rows = place->rows;
  draw.rows = place->padded_rows;
  draw.elements = elements;
  draw.row_numbers = place->row_numbers;
  if (kind == 2) {
    // The rows' numbers are multiplied by the steps already.
    uint64_t *numbers = place->scratch;
    for (size_t particle = place->first_particle; particle < place->first_particle + place->particles; particle++)
      for (size_t instance = place->first_instance; instance < place->first_instance + place->instances; instance++)
        *numbers++ = particle * particle_stride + instance * row_stride;
    draw.row_numbers = place->scratch;
    draw.row_stride = 1;
  }
  return draw;
}

static void load_rows(const coix_operation *op, const coix_place *place) {
  float *destination = op->pointers[0];
  const float *source = op->pointers[1];
  const int32_t *index = op->pointers[2];
  const size_t padded_rows = op->sizes[0], elements = op->sizes[1];
  switch (op->sizes[2]) {
    case 0:
      if (place->row_numbers)
        coix_load_numbered_rows(source, index, place->row_numbers, destination, place->rows, padded_rows, elements);
      else coix_load_rows(source, index, destination, place->first_row, place->rows, padded_rows, elements);
      break;
    case 1:
      coix_load_rows(source, index, destination, place->first_particle, place->particles, padded_rows, elements);
      break;
    default: coix_load_rows(source, index, destination, place->first_instance, place->instances, padded_rows, elements);
  }
}

static int read_rows(const coix_operation *op, const coix_place *place) {
  const coix_file_rows *file = op->pointers[1];
  const int32_t *index = op->pointers[2];
  const size_t padded_rows = op->sizes[0], elements = op->sizes[1];
#define READ(numbers, first, count) \
  coix_read_rows(file, index, numbers, op->pointers[0], first, count, padded_rows, 1, padded_rows, elements)
  switch (op->sizes[2]) {
    case 0: return READ(place->row_numbers, place->first_row, place->rows);
    case 1: return READ(NULL, place->first_particle, place->particles);
    default: return READ(NULL, place->first_instance, place->instances);
  }
#undef READ
}

static void store_rows(const coix_operation *op, const coix_place *place) {
  if (place->row_numbers)
    coix_store_numbered_rows(op->pointers[1], place->row_numbers, op->pointers[0], place->rows, place->padded_rows,
                             op->sizes[0]);
  else
    coix_store_rows(op->pointers[1], op->pointers[0], place->first_row, place->rows, place->padded_rows, op->sizes[0]);
}

static void clear_padding(const coix_operation *op, const coix_place *place) {
  float *y = op->pointers[0];
  for (size_t e = 0; e < op->sizes[0]; e++)
    for (size_t r = place->rows; r < place->padded_rows; r++) y[e * place->padded_rows + r] = 0;
}

static void sum_rows(const coix_operation *op, const coix_place *place) {
  const float *x = op->pointers[1];
  const size_t chunk = place ? place->chunk : 0, rows = place && place->rows > 0 ? place->rows : 1;
  double *sum = (double *)op->pointers[0] + chunk * op->sizes[0] + op->sizes[1];
  *sum = op->variant ? (double)x[0] * (double)rows : coix_sum_double(x, rows);
}

/// A draw's key, with its address at a pointer if that is not NULL.
static coix_key key(const coix_operation *op, int source) {
  return op->pointers[source] ? *(const coix_key *)op->pointers[source] : op->key;
}

static void sum_chunks(const coix_operation *op) {
  const double *sums = op->pointers[1];
  double total = 0;
  for (size_t chunk = 0; chunk < op->sizes[0]; chunk++) total += sums[chunk * op->sizes[1] + op->sizes[2]];
  *(float *)op->pointers[0] = (float)total;
}

static void number_rows(int32_t *index, size_t count, size_t columns, int team) {
  COIX_FOR(r, count, coix_team_for((double)count, team), index[r] = index[r] * (int32_t)columns + (int32_t)(r % columns));
}

static void compose_rows(const int32_t *first, const int32_t *then, int32_t *out, size_t count, int team) {
  COIX_FOR(r, count, coix_team_for(2.0 * (double)count, team), out[r] = first[then[r]]);
}

static void adam_corrections(const coix_operation *op) {
  float *out = op->pointers[0];
  const double step = (double)*(const float *)op->pointers[1] + 1;
  for (int k = 0; k < 2; k++) out[k] = 1 - (float)pow((double)op->numbers[k], step);
  float weight_decay;
  memcpy(&weight_decay, &op->sizes[0], sizeof weight_decay);
  out[2] = *(const float *)op->pointers[2];
  out[3] = out[2] * weight_decay;
}

static void adam(const coix_operation *op) {
  void *const *p = op->pointers;
  const size_t bytes = op->sizes[0] * sizeof(float);
  const float *corrections = p[7];
  double beta1, beta2;
  memcpy(&beta1, &op->sizes[1], sizeof beta1);
  memcpy(&beta2, &op->sizes[2], sizeof beta2);
  if (p[0] != p[3]) memcpy(p[0], p[3], bytes);
  if (p[1] != p[5]) memcpy(p[1], p[5], bytes);
  if (p[2] != p[6]) memcpy(p[2], p[6], bytes);
  coix_adam(p[0], p[4], p[1], p[2], op->sizes[0], corrections[2], corrections[3], beta1, beta2, op->numbers[0],
            corrections[0], corrections[1]);
}

static int is_within(const coix_operation *op) {
  for (int k = 0; k < COIX_OPERATION_POINTERS && op->pointers[k]; k++)
    if (!coix_is_within(op->pointers[k], op->numbers[0], op->numbers[1], op->sizes[k])) return 0;
  return 1;
}

/// Runs one operation; returns 0 for a guard whose outcome is not the expected one, and for a file that cannot be read.
static int run(const coix_operation *op, const coix_place *place) {
  void *const *p = op->pointers;
  const size_t *s = op->sizes;
  const int team = op->team;
  switch ((coix_operation_code)op->code) {
    case COIX_OP_UNARY: coix_unary(op->variant, p[1], p[0], s[0], team); break;
    case COIX_OP_UNARY_BACKWARD: coix_unary_backward(op->variant, p[1], p[2], p[3], p[0], s[0], team); break;
    case COIX_OP_BINARY: coix_binary(op->variant, p[1], s[2], s[3], p[2], s[4], s[5], p[0], s[0], s[1], team); break;
    case COIX_OP_SELECT:
      coix_select(p[1], s[2], s[3], p[2], s[4], s[5], p[3], s[6], s[7], p[0], s[0], s[1], team);
      break;
    case COIX_OP_FILL: coix_fill(p[0], op->numbers[0], s[0], team); break;
    case COIX_OP_COPY: coix_copy(p[1], s[2], s[3], p[0], s[4], s[0], s[1]); break;
    case COIX_OP_ACCUMULATE: coix_accumulate(p[0], p[1], s[0], team); break;
    case COIX_OP_TRANSPOSE: coix_store_rows(p[1], p[0], 0, s[0], s[0], s[1]); break;
    case COIX_OP_REDUCE: coix_reduce(op->variant, p[1], p[0], s[0], s[1], s[2], team); break;
    case COIX_OP_SOFTMAX: coix_softmax(p[1], p[0], s[0], s[1], s[2], op->variant, team); break;
    case COIX_OP_LOGSUMEXP_BACKWARD: coix_logsumexp_backward(p[1], p[2], p[0], s[0], s[1], s[2], team); break;
    case COIX_OP_ARGMAX: coix_argmax(p[1], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_CUMSUM: coix_cumsum(p[1], p[0], s[0], s[1], s[2], op->variant); break;
    case COIX_OP_CATEGORY_BOUNDS: coix_category_bounds(p[1], p[2], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_CATEGORIES: coix_categories(p[1], s[2], s[3], s[4], s[5], p[2], s[6], s[7], p[0], s[0], s[1]); break;
    case COIX_OP_NORMAL_DENSITY:
      coix_normal_log_density(p[1], s[3], s[4], p[2], s[5], s[6], p[3], s[7], s[8], p[0], s[0], s[1], s[2]);
      break;
    case COIX_OP_NORMAL_DENSITY_BACKWARD:
      coix_normal_log_density_backward(p[3], p[4], s[3], s[4], p[5], s[5], s[6], p[6], s[7], s[8], p[0], p[1], p[2], s[0],
                                       s[1], s[2]);
      break;
    case COIX_OP_LOG_DENSITY:
    case COIX_OP_LOG_DENSITY_BACKWARD: {
      const int first = op->code == COIX_OP_LOG_DENSITY ? 1 : 7;
      coix_operand operands[6];
      for (int k = 0; k < 6; k++) operands[k] = (coix_operand){p[first + k], s[2 + 2 * k], s[3 + 2 * k]};
      if (first == 1) {
        coix_log_density(op->variant, operands, p[0], s[0], s[1], team);
      } else {
        coix_log_density_backward(op->variant, operands, p[6], (float *const *)p, s[0], s[1], team);
      }
      break;
    }
    case COIX_OP_SIMPLEX_DENSITY:
      coix_simplex_log_density(op->variant, (coix_operand){p[1], s[3], s[4]}, (coix_operand){p[2], s[5], s[6]}, p[0], s[0],
                               s[1], s[2]);
      break;
    case COIX_OP_SIMPLEX_DENSITY_BACKWARD:
      coix_simplex_log_density_backward(op->variant, p[2], (coix_operand){p[3], s[3], s[4]},
                                        (coix_operand){p[4], s[5], s[6]}, p[0], p[1], s[0], s[1], s[2]);
      break;
    case COIX_OP_DENSE: coix_dense_forward(p[1], p[2], p[3], p[0], s[0], s[1], s[2], op->variant, team); break;
    case COIX_OP_DENSE_BACKWARD:
      coix_dense_backward(p[4], p[5], p[6], p[7], p[0], p[1], p[2], p[3], s[0], s[1], s[2], op->variant, team);
      break;
    case COIX_OP_BATCHED_MATMUL: coix_batched_matmul(p[1], p[2], p[0], s[0], s[1], s[2], s[3]); break;
    case COIX_OP_CORRELATE: {
      const coix_correlation shape = {s[3], s[4], s[5], s[6], s[7], s[8], op->variant};
      coix_correlate(p[1], p[2], s[2], p[0], shape, s[0], s[1], team);
      break;
    }
    case COIX_OP_THREEFRY: *(coix_key *)p[0] = coix_threefry(*(const coix_key *)p[1], s[0]); break;
    case COIX_OP_DRAW_UNIFORM:
      coix_draw_uniform(key(op, 1), placed(op, place), op->numbers[0], op->numbers[1], p[0], team);
      break;
    case COIX_OP_DRAW_NORMAL: coix_draw_normal(key(op, 1), placed(op, place), p[0], team); break;
    case COIX_OP_DRAW_GUMBEL: coix_draw_gumbel(key(op, 1), placed(op, place), p[0], team); break;
    case COIX_OP_DRAW_RANDINT:
      coix_draw_randint(key(op, 1), placed(op, place), (int32_t)s[6], (int32_t)s[7], p[0], team);
      break;
    case COIX_OP_DRAW_NORMAL_AFFINE:
      coix_draw_normal_affine(key(op, 4), placed(op, place), p[2], s[6], s[7], p[3], s[8], s[9], p[1], p[0], team);
      break;
    case COIX_OP_DRAW_GAMMA:
      coix_draw_gamma(key(op, 2), placed(op, place), p[1], s[6], s[7], op->variant, p[0], team);
      break;
    case COIX_OP_DRAW_BINOMIAL:
      coix_draw_binomial(key(op, 3), placed(op, place), p[1], s[6], s[7], p[2], s[8], s[9], p[0], team);
      break;
    case COIX_OP_GAMMA_SLOPE: coix_gamma_slope(p[1], s[2], s[3], p[2], op->variant, p[3], p[0], s[0], s[1]); break;
    case COIX_OP_LOG_BESSEL_I0: coix_log_bessel_i0(p[1], p[0], s[0]); break;
    case COIX_OP_LOG_BESSEL_I0_BACKWARD: coix_log_bessel_i0_backward(p[1], p[2], p[0], s[0]); break;
    case COIX_OP_VON_MISES_ROUND: coix_von_mises_round(p[2], s[2], s[3], p[3], p[4], p[0], p[1], s[0], s[1]); break;
    case COIX_OP_SOLVE_TRIANGULAR:
      coix_solve_triangular(p[1], s[3], s[4], p[2], p[0], s[0], s[1], s[2], op->variant);
      break;
    case COIX_OP_CHOLESKY: coix_cholesky(p[1], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_CHOLESKY_BACKWARD: coix_cholesky_backward(p[1], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_LOAD_ROWS: load_rows(op, place); break;
    case COIX_OP_READ_ROWS: return read_rows(op, place);
    case COIX_OP_READ_WHOLE: return coix_read_rows(p[1], p[2], NULL, p[0], 0, s[0], s[0], s[1], 1, s[1]);
    case COIX_OP_STORE_ROWS: store_rows(op, place); break;
    case COIX_OP_CLEAR_PADDING: clear_padding(op, place); break;
    case COIX_OP_SUM_ROWS: sum_rows(op, place); break;
    case COIX_OP_SPREAD_ROWS: coix_spread_rows(p[1], s[0], p[0], s[1], s[2], s[3], s[4], op->variant); break;
    case COIX_OP_FOLD_ROWS: coix_fold_rows(p[1], s[0], p[0], s[1], s[2], s[3], s[4], op->variant); break;
    case COIX_OP_GATHER_ROWS: coix_gather_rows(p[1], p[2], p[0], s[0], s[1], team); break;
    case COIX_OP_SCATTER_POSITIONS: coix_scatter_positions(p[2], p[3], p[1], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_POSITIONS: coix_positions(p[1], p[0], s[0], s[1]); break;
    case COIX_OP_GATHER_TABLE: coix_load_rows(p[1], p[2], p[0], 0, s[0], s[0], s[1]); break;
    case COIX_OP_SCATTER_TABLE: coix_scatter_table(p[2], p[3], p[1], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_GATHER_AXIS: coix_gather_axis(p[1], p[2], s[3], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_SCATTER_AXIS: coix_scatter_axis(p[1], p[2], s[3], p[0], s[0], s[1], s[2]); break;
    case COIX_OP_ONE_HOT: coix_one_hot(p[1], p[0], s[0], s[1]); break;
    case COIX_OP_ACCUMULATE_DOUBLE: coix_accumulate_double(p[0], p[1], s[0]); break;
    case COIX_OP_ROUND: coix_round(p[1], p[0], s[0]); break;
    case COIX_OP_SUM_CHUNKS: sum_chunks(op); break;
    case COIX_OP_WEIGHT_MOMENTS: coix_weight_moments(p[3], p[0], p[1], p[2], s[0], s[1], op->variant, team); break;
    case COIX_OP_WEIGHTS_ARE_VALID: return coix_weights_are_valid(p[0], p[1], s[0]) == op->variant;
    case COIX_OP_WEIGHT_SUMMARY: coix_weight_summary(p[2], p[3], p[4], p[0], p[1], s[0], s[1]); break;
    case COIX_OP_RESAMPLE:
      return (coix_resample(s[3], p[2], p[3], p[1], p[0], s[0], s[1], s[2], team) == 0) == op->variant;
    case COIX_OP_NUMBER_ROWS: number_rows(p[0], s[0], s[1], team); break;
    case COIX_OP_COMPOSE_ROWS: compose_rows(p[1], p[2], p[0], s[0], team); break;
    case COIX_OP_ASCENDS: return coix_ascends(p[0], s[0]) == op->variant;
    case COIX_OP_SCATTER_RUNS: coix_scatter_add_runs(p[1], p[2], p[0], 0, s[0], s[1], s[2], team); break;
    case COIX_OP_SORT_ROWS: coix_sort_rows(p[2], s[0], s[1], p[0], p[1]); break;
    case COIX_OP_SCATTER_ROWS: coix_scatter_add_rows(p[1], p[2], p[3], p[0], s[0], s[1], team); break;
    case COIX_OP_ADAM_CORRECTIONS: adam_corrections(op); break;
    case COIX_OP_ADAM: adam(op); break;
    case COIX_OP_IS_WITHIN: return is_within(op) == op->variant;
    case COIX_OP_IS_ZERO: return coix_is_zero(p[0], s[0]) == op->variant;
    case COIX_OP_CALL: return 0;
    case COIX_OP_ENTER:
    case COIX_OPERATION_COUNT: break;
  }
  return 1;
}

// MARK: Elementwise operations that follow each other

/// Elements that are taken at a time, so that what one operation writes is in cache when the next one reads it.
#define BLOCK ((size_t)4096)
/// Operations on fewer elements run one after the other.
#define LEAST_ELEMENTS (4 * BLOCK)
/// The most operations that run together.
#define MOST_TOGETHER ((size_t)16)

/// An operation on `count` elements that computes each from the same element of its operands, or from the only number there,
/// where the stride is 0.
typedef struct {
  const coix_operation *operation;
  size_t count;
  int pointers;
  size_t strides[4];
} elementwise;

/// Whether an operation is elementwise, and works on many elements.
static int is_elementwise(const coix_operation *op, elementwise *out) {
  const size_t *s = op->sizes;
  if (s[0] < LEAST_ELEMENTS && s[0] * s[1] < LEAST_ELEMENTS) return 0; // most are told at once
  size_t outer = 1, rows = s[0];
  int pointers = 0, operands = 0; // of strides, behind the sizes
  switch (op->code) {
    case COIX_OP_FILL: pointers = 1; break;
    case COIX_OP_UNARY:
    case COIX_OP_ACCUMULATE: pointers = 2; break;
    case COIX_OP_UNARY_BACKWARD: pointers = 4; break;
    case COIX_OP_COPY: operands = s[0] == 1; break;
    case COIX_OP_BINARY: operands = 2; break;
    case COIX_OP_SELECT: operands = 3; break;
    default: return 0;
  }
  if (operands > 0) {
    pointers = 1 + operands;
    outer = s[0];
    rows = s[1];
  }
  *out = (elementwise){op, outer * rows, pointers, {1, 1, 1, 1}};
  for (int k = 1; k <= operands; k++) {
    const size_t outer_stride = s[2 * k], row_stride = s[2 * k + 1];
    const int follow = outer == 1 || outer_stride == rows * row_stride; // the rows follow each other without gaps
    if (!follow || row_stride > 1) return 0;
    out->strides[k] = row_stride;
  }
  return pointers > 0 && out->count >= LEAST_ELEMENTS;
}

/// Whether blocks of two operations on as many elements depend on each other only where they are the same: what either writes
/// lies where the other has the same elements, or apart from the other's.
static int are_together(const elementwise *a, const elementwise *b) {
  for (int i = 0; i < a->pointers; i++)
    for (int k = 0; k < b->pointers; k++) {
      if (i > 0 && k > 0) continue; // both are read
      const uintptr_t p = (uintptr_t)a->operation->pointers[i], q = (uintptr_t)b->operation->pointers[k];
      if (p == q && a->strides[i] == b->strides[k]) continue;
      const size_t p_count = a->strides[i] ? a->count : 1, q_count = b->strides[k] ? b->count : 1;
      if (p < q + q_count * sizeof(float) && q < p + p_count * sizeof(float)) return 0;
    }
  return 1;
}

/// Runs an operation on elements [start, start + count).
static void run_block(const elementwise *e, size_t start, size_t count) {
  coix_operation part = *e->operation;
  const int has_strides = part.code == COIX_OP_COPY || part.code == COIX_OP_BINARY || part.code == COIX_OP_SELECT;
  part.team = 1;
  part.sizes[0] = has_strides ? 1 : count;
  if (has_strides) part.sizes[1] = count;
  for (int k = 0; k < e->pointers; k++) part.pointers[k] = (float *)part.pointers[k] + start * e->strides[k];
  run(&part, NULL);
}

/// Runs the elementwise operations that a list starts with block by block, if there are several. Returns how many have run.
static size_t run_together(const coix_operation *operations, size_t count) {
  elementwise members[MOST_TOGETHER], *const list = members;
  size_t length = 0;
  int team = 1;
  for (; length < coix_min(count, MOST_TOGETHER); length++) {
    if (!is_elementwise(operations + length, list + length) || list[length].count != list[0].count) break;
    size_t k = 0;
    while (k < length && are_together(list + k, list + length)) k++;
    if (k < length) break;
    team = operations[length].team > team ? operations[length].team : team;
  }
  if (length < 2) return 0;
  const size_t elements = list[0].count;
  // Roughly what an elementwise operation takes.
  const int threads = coix_team_for(0.3 * (double)length * (double)elements, team);
  COIX_FOR(b, coix_blocks(elements, BLOCK), threads, {
    const size_t start = b * BLOCK;
    for (size_t k = 0; k < length; k++) run_block(list + k, start, coix_min(BLOCK, elements - start));
  });
  return length;
}

size_t coix_execute(const coix_operation *operations, size_t count, const coix_place *place) {
  coix_regions.began = 0; // of a kernel that was called by itself
  for (size_t i = 0; i < count;) {
    if (operations[i].code == COIX_OP_ENTER) {
      place = operations[i++].pointers[0];
      continue;
    }
    const size_t together = run_together(operations + i, count - i);
    const int holds = together > 0 || run(&operations[i], place);
    if (coix_regions.began) coix_end_region();
    if (!holds) return i;
    i += coix_max(together, 1);
  }
  return count;
}
