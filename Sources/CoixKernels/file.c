// Reading rows of numbers from a file, by their position: whoever shortens the file meanwhile gets an error, where a map of the
// file would end the process. And starting to write some to the disk, and letting the system forget what is there.

#define _GNU_SOURCE // for pread, posix_fadvise and sync_file_range

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/// Bytes that are read at a time.
#define ROOM ((size_t)1 << 16)
/// Rows are read together with those that lie between them, up to so many bytes: as many as can be copied while the system is
/// called once more.
#define SKIPPED ((size_t)1 << 12)

/// Reads bytes; returns 0 if it cannot, with errno 0 at the end of the file.
static int read_bytes(int descriptor, char *to, size_t bytes, int64_t start) {
  while (bytes > 0) {
    const ssize_t count = pread(descriptor, to, bytes, (off_t)start);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = 0;
    if (count <= 0) return 0;
    to += count;
    start += count;
    bytes -= (size_t)count;
  }
  return 1;
}

/// The most rows of a destination that are filled at a time.
#define LANES ((size_t)2048)

/// destination[l * row_stride + e * element_stride] = number at[l] + e, for l < lanes and e < elements.
#define COPY(type)                                                                                 \
  do {                                                                                             \
    const type *numbers = (const type *)room;                                                      \
    if (row_stride == 1) {                                                                         \
      for (size_t e = 0; e < elements; e++)                                                        \
        for (size_t l = 0; l < lanes; l++) destination[l + e * element_stride] = (float)numbers[at[l] + e]; \
    } else {                                                                                       \
      for (size_t l = 0; l < lanes; l++)                                                           \
        for (size_t e = 0; e < elements; e++)                                                      \
          destination[l * row_stride + e * element_stride] = (float)numbers[at[l] + e];            \
    }                                                                                              \
  } while (0)

static void copy_numbers(const char *room, const uint32_t *at, size_t size, float *destination, size_t lanes, size_t elements,
                         size_t row_stride, size_t element_stride) {
  if (size == sizeof(float)) COPY(float);
  else COPY(double);
}

int coix_read_rows(const coix_file_rows *file, const int32_t *index, const uint64_t *row_numbers, float *destination,
                   size_t first_row, size_t valid_rows, size_t rows, size_t row_stride, size_t element_stride,
                   size_t elements) {
  if (valid_rows == 0 || elements == 0) return 1;
  _Alignas(64) char room[ROOM];
  uint32_t at[LANES];
  const size_t size = file->number_bytes, width = elements * size;
  // Where a row alone is too long, it is read in parts.
  const size_t part = coix_min(elements, ROOM / size), most_rows = coix_max(ROOM / width, 1), skipped = SKIPPED / width + 1;
  if (!index && !row_numbers && row_stride == 1 && element_stride == rows && size == sizeof(float) && valid_rows <= most_rows) {
    // Most chunks: as if the rows were in memory.
    if (!read_bytes(file->descriptor, room, valid_rows * width, file->start + (int64_t)(first_row * width))) return 0;
    coix_load_rows((const float *)room, NULL, destination, 0, valid_rows, rows, elements);
    return 1;
  }
  for (size_t lane = 0; lane < valid_rows;) {
    // The next rows that lie close together, in the file's order: those from `first` to `last`.
    size_t first = 0, last = 0, lanes = 0;
    for (; lanes < coix_min(LANES, valid_rows - lane); lanes++) {
      const size_t number = row_numbers ? (size_t)row_numbers[lane + lanes] : first_row + lane + lanes;
      const size_t next = index ? (size_t)index[number] : number;
      if (lanes == 0) first = last = next;
      if (next < last || next - last > skipped || next - first >= most_rows) break;
      at[lanes] = (uint32_t)((next - first) * elements);
      last = next;
    }
    for (size_t e = 0; e < elements; e += part) {
      const size_t count = coix_min(part, elements - e);
      const size_t bytes = part < elements ? count * size : (last + 1 - first) * width;
      if (!read_bytes(file->descriptor, room, bytes, file->start + (int64_t)(first * width + e * size))) return 0;
      copy_numbers(room, at, size, destination + lane * row_stride + e * element_stride, lanes, count, row_stride,
                   element_stride);
    }
    lane += lanes;
  }
  for (size_t e = 0; e < elements; e++)
    for (size_t r = valid_rows; r < rows; r++)
      destination[r * row_stride + e * element_stride] = destination[(valid_rows - 1) * row_stride + e * element_stride];
  return 1;
}

void coix_begin_writing(int descriptor, int64_t start, size_t bytes) {
#ifdef SYNC_FILE_RANGE_WRITE
  // A refusal does no harm: the disk then begins later.
  (void)sync_file_range(descriptor, (off_t)start, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
#else
  (void)descriptor, (void)start, (void)bytes;
#endif
}

void coix_forget_written(int descriptor, int64_t start, size_t bytes) {
#ifdef POSIX_FADV_DONTNEED
  // What is not on the disk yet stays.
  (void)posix_fadvise(descriptor, (off_t)start, (off_t)bytes, POSIX_FADV_DONTNEED);
#else
  (void)descriptor, (void)start, (void)bytes;
#endif
}
