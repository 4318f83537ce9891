// Matrix products in eight bits: weights once, each column by its own scale; rows as they come, each by its own range.
// For AVX-512 with VNNI, which adds four products of bytes to each lane at once; the caller knows whether it is there.

#include "activation.h"
#include "threads.h"

#if LANES == 16
#include <immintrin.h>

#define VNNI __attribute__((target("avx512vnni")))
#define GROUP 4           // numbers of a column that one instruction multiplies
#define LINE 64           // bytes that the processor fetches at once
#define STACK (192 << 10) // bytes of the rows that go through all panels before the next rows do: they stay near

// y = activation(x w + bias) plus other, if there is one. x is [rows, depth], y and other are [rows, width]; w lies in
// panels of up to PANEL columns, each [depth / GROUP, columns, GROUP]. Depths are rounded up to whole registers.
struct product {
  float *y;
  const float *x, *other;
  const int8_t *w;
  const float *scales, *sums, *bias; // of the columns: of one step of w, of all of a column, and what is added
  uint8_t *levels;                   // the rows in eight bits, [rows, depth]
  float *ranges;                     // the least number of each row, and one step of its levels
  int64_t rows, depth, width;
  int64_t mapped, multiplied; // what is claimed: rows, and panels of stacks of rows
  enum activation activation;
  int threads;
};

typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1)));

// The numbers of a row from `first` on; beyond its end the first of them is repeated.
INLINE vec numbers(const float *row, int64_t first, int64_t depth) {
  if (depth - first >= LANES) return load(row + first);
  vec found = all(row[first]);
  for (int64_t i = 1; i < depth - first; i++) found[i] = row[first + i];
  return found;
}

#define SMALLEST 1e-12f
#define LEVELS 255

// Maps a row from between its least and its greatest number onto all levels. If one is none, its results are none.
static void map_row(const struct product *job, int64_t row) {
  const float *x = job->x + row * job->depth;
  vec lowest = all(__builtin_inff()), highest = -lowest, odd = all(0);
  for (int64_t i = 0; i < job->depth; i += LANES) {
    const vec some = numbers(x, i, job->depth);
    lowest = -greater_of(-lowest, -some), highest = greater_of(highest, some);
    odd += some * 0.0f;
  }
  const float least = -greatest(-lowest), span = greatest(highest) - least;
  const float step = (span > SMALLEST ? span : SMALLEST) / LEVELS, levels_of_one = 1.0f / step;
  uint8_t *levels = job->levels + row * padded(job->depth);
  for (int64_t i = 0; i < job->depth; i += LANES) {
    const vec level = (numbers(x, i, job->depth) - least) * levels_of_one + 12582912.0f; // the nearest integer
    *(bytes *)(levels + i) = __builtin_convertvector((ints)level & 0xff, bytes);
  }
  job->ranges[2 * row] = least + total(odd);
  job->ranges[2 * row + 1] = step;
}

struct ahead {
  const int8_t *from;
  int64_t pace; // bytes
};

VNNI INLINE ints plus_products(ints sum, const uint8_t *levels, const int8_t *weights) {
  int32_t four;
  __builtin_memcpy(&four, levels, sizeof four);
  return (ints)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(four), _mm512_loadu_si512(weights));
}

INLINE void put(const struct product *job, int64_t row, int64_t column, ints sum) {
  const float least = job->ranges[2 * row], step = job->ranges[2 * row + 1];
  vec done = __builtin_convertvector(sum, vec) * (step * load(job->scales + column));
  done = activated(done + least * load(job->sums + column) + load(job->bias + column), job->activation);
  const int64_t left = job->width - column, at = row * job->width + column;
  if (left >= LANES) {
    store(job->y + at, job->other ? done + load(job->other + at) : done);
    return;
  }
  for (int64_t c = 0; c < left; c++) job->y[at + c] = done[c] + (job->other ? job->other[at + c] : 0);
}

VNNI INLINE void tile(const struct product *job, int64_t row, int64_t panel, struct ahead ahead, const int height,
                      const int strips) {
  const int64_t depth = padded(job->depth);
  const uint8_t *levels = job->levels + row * depth;
  const int8_t *w = job->w + panel * PANEL * depth;
  ints sums[TALLEST][STRIPS] = {0};
  for (int64_t k = 0; k < depth; k += GROUP, w += strips * LINE, ahead.from += ahead.pace) {
    __builtin_prefetch(ahead.from, 0, 2);
    if (ahead.pace > LINE) // few rows, so that much is to be fetched for each
      for (int line = 1; line < STRIPS; line++) __builtin_prefetch(ahead.from + line * LINE, 0, 2);
    for (int r = 0; r < height; r++)
      for (int s = 0; s < strips; s++) sums[r][s] = plus_products(sums[r][s], levels + r * depth + k, w + s * LINE);
  }
  for (int r = 0; r < height; r++)
    for (int s = 0; s < strips; s++) put(job, row + r, panel * PANEL + s * LANES, sums[r][s]);
}

typedef void tile_t(const struct product *, int64_t, int64_t, struct ahead);
#define TILE(H, S)                                                                                                     \
  VNNI static void tile_##H##_##S(const struct product *job, int64_t row, int64_t panel, struct ahead ahead) {         \
    tile(job, row, panel, ahead, H, S);                                                                                \
  }
#define TILES(H) TILE(H, 1) TILE(H, 2) TILE(H, 3)
#define NAMES(H) {0, tile_##H##_1, tile_##H##_2, tile_##H##_3}
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) TILES(7) TILES(8)
static tile_t *const tiles[][STRIPS + 1] = {{0},      NAMES(1), NAMES(2), NAMES(3), NAMES(4),
                                            NAMES(5), NAMES(6), NAMES(7), NAMES(8)};

// Rows from `first` to `end` times one panel, while the weights of `following` are fetched.
static void multiply_panel(const struct product *job, int64_t first, int64_t end, int64_t panel, int64_t following) {
  const int64_t strips = strips_of(job->width, panel), blocks = (end - first + TALLEST - 1) / TALLEST;
  const int64_t depth = padded(job->depth), pace = (strips * LINE + blocks - 1) / blocks;
  const int8_t *from = job->w + following * PANEL * depth;
  for (int64_t b = 0; b < blocks; b++) {
    const int64_t row = first + (end - first) * b / blocks, below = first + (end - first) * (b + 1) / blocks;
    const struct ahead ahead = {from + b * pace * (depth / GROUP), pace};
    tiles[below - row][strips](job, row, panel, ahead);
  }
}

static void multiply(void *argument) {
  struct product *job = argument;
  for (int64_t row; (row = claim(&job->mapped)) < job->rows;) map_row(job, row);
  wait_for_all(job->threads);
  const int64_t panels = (job->width + PANEL - 1) / PANEL, tallest = STACK / padded(job->depth) + 1;
  const int64_t stacks = (job->rows + tallest - 1) / tallest, items = panels * stacks;
  for (int64_t item = claim(&job->multiplied), next; item < items; item = next) {
    next = claim(&job->multiplied); // now, so that it is known what to fetch
    const int64_t stack = item / panels;
    multiply_panel(job, job->rows * stack / stacks, job->rows * (stack + 1) / stacks, item % panels, next % panels);
  }
}

// columns are scales, sums and biases, [3, width rounded up]; levels and ranges are room for those of a product.
EXPORTED void llmi_int8_product(float *y, const float *x, const int8_t *w, const float *columns, const float *other,
                                uint8_t *levels, float *ranges, int64_t rows, int64_t depth, int64_t width,
                                int activation, int threads) {
  const int64_t broad = padded(width);
  struct product job = {y, x, other, w, columns, columns + broad, columns + 2 * broad, levels, ranges, rows, depth,
                        width, 0, 0, (enum activation)activation, threads};
  if (rows > 0) share(multiply, &job, threads);
}

struct packing {
  int8_t *packed;
  float *scales, *sums;
  const float *weights;
  int64_t width, depth, next;
};

static void pack_column(const struct packing *job, int64_t column) {
  const int64_t panel = column / PANEL, columns = strips_of(job->width, panel) * LANES;
  const float *weights = job->weights + column * job->depth;
  int8_t *packed = job->packed + panel * PANEL * padded(job->depth) + column % PANEL * GROUP;
  float greatest = 0;
  for (int64_t k = 0; k < job->depth; k++) greatest = __builtin_fmaxf(greatest, __builtin_fabsf(weights[k]));
  const float scale = greatest / 127 > SMALLEST ? greatest / 127 : SMALLEST;
  int64_t sum = 0;
  for (int64_t k = 0; k < job->depth; k++) {
    const int level = (int)__builtin_rintf(weights[k] / scale);
    packed[k / GROUP * GROUP * columns + k % GROUP] = (int8_t)level;
    sum += level;
  }
  job->scales[column] = scale;
  job->sums[column] = (float)sum * scale;
}

static void pack(void *argument) {
  struct packing *job = argument;
  for (int64_t column; (column = claim(&job->next)) < job->width;) pack_column(job, column);
}

// Lays out weights [width, depth] as a product reads them. packed and columns are zero where nothing will be.
EXPORTED void llmi_int8_pack(int8_t *packed, float *columns, const float *weights, int64_t width, int64_t depth,
                             int threads) {
  struct packing job = {packed, columns, columns + padded(width), weights, width, depth, 0};
  share(pack, &job, threads);
}
#endif
