// Elementwise operations and their derivatives.

#include "internal.h"

typedef struct {
  void (*unary[COIX_UNARY_COUNT])(const float *x, float *y, size_t count);
  void (*slope[COIX_UNARY_COUNT])(const float *x, const float *y, const float *dy, float *dx, size_t count);
  void (*binary[COIX_BINARY_COUNT])(const float *a, size_t as, const float *b, size_t bs, float *out, size_t count);
  void (*select)(const float *c, size_t cs, const float *a, size_t as, const float *b, size_t bs, float *out, size_t count);
  void (*accumulate)(float *y, const float *x, size_t count);
  int64_t (*first_above)(const float *x, size_t count, uint32_t limit);
} elementwise_table;

#define COIX_TEMPLATE "Copies/elementwise_copy.h"
#include "copies.h"
COIX_CHOOSE(elementwise_table, kernels)

/// Floats a thread takes at a time: a multiple of the lanes, half of a level-one cache.
#define BLOCK ((size_t)4096)

/// Runs `statement` on each block [start, start + length) of `count` floats, with a team where it pays.
#define FOR_BLOCKS(cost, statement)                                                                \
  do {                                                                                             \
    int threads = coix_team_for((double)count * (cost), team);                                     \
    if (threads <= 1) {                                                                            \
      const size_t start = 0, length = count;                                                      \
      (void)start;                                                                                 \
      statement;                                                                                   \
    } else {                                                                                       \
      COIX_FOR(block, coix_blocks(count, BLOCK), threads, {                                        \
        const size_t start = block * BLOCK, length = coix_min(BLOCK, count - start);               \
        statement;                                                                                 \
      });                                                                                          \
    }                                                                                              \
  } while (0)

#define COST(constant, name, cost) [constant] = cost,
static const float unary_cost[COIX_UNARY_COUNT] = {COIX_UNARY_OPS(COST)};
static const float binary_cost[COIX_BINARY_COUNT] = {COIX_BINARY_OPS(COST)};
#undef COST

void coix_unary(coix_unary_op op, const float *x, float *y, size_t count, int team) {
  FOR_BLOCKS(unary_cost[op], kernels->unary[op](x + start, y + start, length));
}

void coix_unary_backward(coix_unary_op op, const float *x, const float *y, const float *dy, float *dx,
                         size_t count, int team) {
  FOR_BLOCKS(unary_cost[op], kernels->slope[op](x + start, y + start, dy + start, dx + start, length));
}

typedef struct {
  const float *data;
  size_t outer_stride, row_stride;
} operand;

/// Whether (outer, rows) can be processed as one long row for every operand; if so, changes the row strides for
/// that.
static int flatten(operand *operands, int count, size_t outer, size_t rows) {
  if (outer == 1) return 1;
  for (int i = 0; i < count; i++) {
    operand q = operands[i];
    int constant = q.outer_stride == 0 && (q.row_stride == 0 || rows == 1);
    int contiguous = q.outer_stride == rows && (q.row_stride == 1 || rows == 1);
    if (!constant && !contiguous) return 0;
  }
  for (int i = 0; i < count; i++) operands[i].row_stride = operands[i].outer_stride != 0;
  return 1;
}

#define AT(q, o) ((q).data + (o) * (q).outer_stride)

void coix_binary(coix_binary_op op, const float *a, size_t a_outer_stride, size_t a_row_stride,
                 const float *b, size_t b_outer_stride, size_t b_row_stride,
                 float *out, size_t outer, size_t rows, int team) {
  operand operands[2] = {{a, a_outer_stride, a_row_stride}, {b, b_outer_stride, b_row_stride}}, *const q = operands;
  const double cost = binary_cost[op];
  if (flatten(q, 2, outer, rows)) {
    size_t count = outer * rows, as = q[0].row_stride, bs = q[1].row_stride;
    FOR_BLOCKS(cost, kernels->binary[op](a + start * as, as, b + start * bs, bs, out + start, length));
    return;
  }
  COIX_FOR(o, outer, coix_team_for((double)outer * (double)rows * cost, team),
           kernels->binary[op](AT(q[0], o), a_row_stride, AT(q[1], o), b_row_stride, out + o * rows, rows));
}

void coix_select(const float *condition, size_t c_outer_stride, size_t c_row_stride,
                 const float *a, size_t a_outer_stride, size_t a_row_stride,
                 const float *b, size_t b_outer_stride, size_t b_row_stride,
                 float *out, size_t outer, size_t rows, int team) {
  operand operands[3] = {{condition, c_outer_stride, c_row_stride}, {a, a_outer_stride, a_row_stride},
                         {b, b_outer_stride, b_row_stride}};
  operand *const q = operands;
  if (flatten(q, 3, outer, rows)) {
    size_t count = outer * rows, cs = q[0].row_stride, as = q[1].row_stride, bs = q[2].row_stride;
    FOR_BLOCKS(0.4, kernels->select(condition + start * cs, cs, a + start * as, as, b + start * bs, bs,
                                    out + start, length));
    return;
  }
  COIX_FOR(o, outer, coix_team_for((double)outer * (double)rows * 0.4, team),
           kernels->select(AT(q[0], o), c_row_stride, AT(q[1], o), a_row_stride, AT(q[2], o), b_row_stride,
                           out + o * rows, rows));
}

static void fill(float *y, float value, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = value;
}

void coix_fill(float *y, float value, size_t count, int team) {
  FOR_BLOCKS(0.1, fill(y + start, value, length));
}

void coix_copy(const float *source, size_t source_outer_stride, size_t source_stride, float *destination,
               size_t destination_outer_stride, size_t outer, size_t count) {
  for (size_t o = 0; o < outer; o++) {
    const float *from = source + o * source_outer_stride;
    float *to = destination + o * destination_outer_stride;
    if (source_stride == 1) {
      memcpy(to, from, count * sizeof(float));
    } else if (source_stride == 0) {
      if (count > 0) fill(to, *from, count);
    } else {
      for (size_t i = 0; i < count; i++) to[i] = from[i * source_stride];
    }
  }
}

int coix_is_zero(const float *x, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (x[i] != 0) return 0;
  return 1;
}

int coix_is_within(const float *x, float low, float high, size_t count) {
  if (low == -high && high < INFINITY) return coix_first_above(x, count, high) < 0;
  for (size_t i = 0; i < count; i++)
    if (!(x[i] >= low && x[i] <= high)) return 0;
  return 1;
}

void coix_accumulate(float *y, const float *x, size_t count, int team) {
  FOR_BLOCKS(0.2, kernels->accumulate(y + start, x + start, length));
}

int64_t coix_first_above(const float *x, size_t count, float limit) {
  uint32_t bits;
  memcpy(&bits, &limit, 4);
  return kernels->first_above(x, count, bits + 1);
}
