// The workload `dense`: the matrix products of its layers by OpenBLAS, beside Coix's own kernels.
//
//   dense [forward | gradient] [rows = 16384] [threads = 1]
//
// Prints GFLOP/s of each product. Coix's forward product includes bias and ReLU, which sgemm doesn't have. The figure reported is
// OpenBLAS's for the products that the mode needs: the network's inputs want no gradient.

#include <cblas.h>
#include <unistd.h>

#include "limits.h"

#define ROUNDS 15
enum { FORWARD, DX, DKERNEL, PRODUCTS };
static const char *const names[] = {"forward", "dx", "dkernel"};

typedef struct {
  int in, out, rows, threads;
  float *x, *kernel, *bias, *dy;
  /// The product that is timed, by Coix and by OpenBLAS.
  float *ours, *theirs;
} layer;

static void run_ours(const layer *l, int product) {
  const size_t in = (size_t)l->in, out = (size_t)l->out, rows = (size_t)l->rows;
  if (product == FORWARD) coix_dense_forward(l->x, l->kernel, l->bias, l->ours, in, out, rows, COIX_RELU, l->threads);
  else coix_dense_backward(l->x, l->kernel, NULL, l->dy, NULL, product == DX ? l->ours : NULL, product == DKERNEL ? l->ours : NULL,
                           NULL, in, out, rows, COIX_IDENTITY, l->threads);
}

static void run_theirs(const layer *l, int product) {
  const int in = l->in, out = l->out, rows = l->rows;
  switch (product) {
    case FORWARD:
      cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, rows, in, 1, l->kernel, out, l->x, rows, 0, l->theirs, rows);
      break;
    case DX:
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, in, rows, out, 1, l->kernel, out, l->dy, rows, 0, l->theirs, rows);
      break;
    case DKERNEL:
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, in, out, rows, 1, l->x, rows, l->dy, rows, 0, l->theirs, out);
      break;
  }
}

/// The greatest difference between the two products, as a share of the greatest number; OpenBLAS's forward product gets bias and
/// ReLU first.
static double difference(const layer *l, int product) {
  const size_t in = (size_t)l->in, out = (size_t)l->out, rows = (size_t)l->rows;
  const size_t count = product == FORWARD ? out * rows : product == DX ? in * rows : in * out;
  double most = 0, greatest = 0;
  for (size_t i = 0; i < count; i++) {
    const double theirs = product == FORWARD ? fmax(l->theirs[i] + l->bias[i / rows], 0) : l->theirs[i];
    most = fmax(most, fabs(l->ours[i] - theirs));
    greatest = fmax(greatest, fabs(theirs));
  }
  return most / greatest;
}

/// Seconds of OpenBLAS for one product; prints both sides.
static double measure(const layer *l, int product) {
  double t[2][ROUNDS];
  for (int k = 0; k < ROUNDS; k++) {
    double start = now();
    run_ours(l, product);
    t[0][k] = now() - start;
    start = now();
    run_theirs(l, product);
    t[1][k] = now() - start;
    // OpenBLAS's threads spin for a while before they sleep.
    if (l->threads > 1) usleep(60000);
  }
  const double work = 2e-9 * l->in * l->out * l->rows, ours = fastest(t[0], ROUNDS), theirs = fastest(t[1], ROUNDS);
  printf("%3d -> %3d %-8s %5d rows %2d threads: Coix %6.1f GFLOP/s, OpenBLAS %6.1f, ratio %.2f; differ by %.1e\n", l->in, l->out,
         names[product], l->rows, l->threads, work / ours, work / theirs, theirs / ours, difference(l, product));
  return theirs;
}

static float *normal(coix_key *stream, size_t count) {
  float *to = memory(sizeof *to * count);
  coix_draw_normal(next_key(stream), (coix_draw){.valid_rows = count, .rows = count, .elements = 1, .row_stride = 1}, to, 1);
  return to;
}

int main(int argc, char **argv) {
  const char *mode = mode_of(argc, argv, "gradient");
  const int with_gradient = !strcmp(mode, "gradient");
  const size_t rows = particles_of(argc, argv, 16384);
  const int threads = threads_of(argc, argv);
  openblas_set_num_threads(threads);
  printf("Coix %s, OpenBLAS %s\n", coix_instruction_set(), openblas_get_corename());

  static const size_t sizes[] = {128, 512, 512, 128};
  coix_key stream = {0, 9};
  double seconds = 0;
  for (int i = 0; i < 3; i++) {
    const size_t in = sizes[i], out = sizes[i + 1], most = 512 * (rows > 512 ? rows : 512);
    const layer l = {(int)in, (int)out, (int)rows, threads, normal(&stream, in * rows), normal(&stream, in * out), normal(&stream, out),
                     normal(&stream, out * rows), memory(sizeof(float) * most), memory(sizeof(float) * most)};
    for (int product = 0; product < (with_gradient ? PRODUCTS : 1); product++) {
      const double theirs = measure(&l, product);
      if (product != DX || i > 0) seconds += theirs;
    }
  }
  report("dense", mode, rows, threads, seconds);
}
