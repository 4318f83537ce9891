// One source for two widths of registers: 16 floats for AVX-512, 8 for AVX2.

#include "product.h"
#include "threads.h"

#define LINE 16 // floats that the processor fetches at once

// A part of a panel: strips of columns from `column` on, and of their weights those from `begin` to `end`.
struct part {
  int64_t column, begin, end;
  const float *weights;
};

// What is fetched while others are multiplied: memory and arithmetic work at the same time.
struct ahead {
  const float *from;
  int64_t pace;
};

#define DEEPEST 1024 // weights of a column multiplied in one go: two such parts fit into the second-level cache

INLINE vec finished(const struct product *job, vec sum, const float *other) {
  sum = activated(sum, job->activation);
  if (job->combination == PLUS) sum += load(other);
  if (job->combination == TIMES) sum *= load(other);
  return sum;
}

INLINE void put(const struct product *job, int64_t row, int64_t column, vec sum, int last) {
  const int64_t left = job->width - column, at = row * job->width + column;
  float bias[LANES] = {0}, other[LANES] = {0}, own[LANES];
  if (left >= LANES) {
    if (last && job->bias) sum += load(job->bias + column);
    store(job->y + at, last ? finished(job, sum, job->other + at) : sum);
    return;
  }
  for (int64_t c = 0; c < left; c++) {
    if (job->bias) bias[c] = job->bias[column + c];
    if (job->combination != ALONE) other[c] = job->other[at + c];
  }
  store(own, last ? finished(job, sum + load(bias), other) : sum);
  for (int64_t c = 0; c < left; c++) job->y[at + c] = own[c];
}

INLINE vec taken(const struct product *job, int64_t row, int64_t column) {
  float own[LANES] = {0};
  const float *from = job->y + row * job->width + column;
  if (job->width - column >= LANES) return load(from);
  for (int64_t c = 0; c < job->width - column; c++) own[c] = from[c];
  return load(own);
}

INLINE void tile(const struct product *job, int64_t row, struct part part, struct ahead ahead, const int height,
                 const int strips) {
  const float *x = job->x + row * job->depth, *w = part.weights;
  vec sums[TALLEST][STRIPS], weights[STRIPS];
  for (int r = 0; r < height; r++)
    for (int s = 0; s < strips; s++) sums[r][s] = all(0);
  for (int64_t k = part.begin; k < part.end; k++, w += strips * LANES, ahead.from += ahead.pace) {
    for (int s = 0; s < strips; s++) weights[s] = load(w + s * LANES);
    __builtin_prefetch(ahead.from, 0, 2);
    if (ahead.pace > LINE) // few rows, so that much is to be fetched for each
      for (int line = LINE; line < PANEL; line += LINE) __builtin_prefetch(ahead.from + line, 0, 2);
    for (int r = 0; r < height; r++)
      for (int s = 0; s < strips; s++) sums[r][s] += x[r * job->depth + k] * weights[s];
  }
  for (int r = 0; r < height; r++)
    for (int s = 0; s < strips; s++) {
      const int64_t column = part.column + s * LANES;
      if (part.begin) sums[r][s] += taken(job, row + r, column);
      put(job, row + r, column, sums[r][s], part.end == job->depth);
    }
}

typedef void tile_t(const struct product *, int64_t, struct part, struct ahead);
#define TILE(H, S)                                                                                                     \
  static void tile_##H##_##S(const struct product *job, int64_t row, struct part part, struct ahead ahead) {          \
    tile(job, row, part, ahead, H, S);                                                                                 \
  }
#if LANES == 16
#define TILES(H) TILE(H, 1) TILE(H, 2) TILE(H, 3)
#define NAMES(H) {0, tile_##H##_1, tile_##H##_2, tile_##H##_3}
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) TILES(7) TILES(8)
static tile_t *const tiles[][STRIPS + 1] = {{0},      NAMES(1), NAMES(2), NAMES(3), NAMES(4),
                                            NAMES(5), NAMES(6), NAMES(7), NAMES(8)};
#else
#define TILES(H) TILE(H, 1) TILE(H, 2)
#define NAMES(H) {0, tile_##H##_1, tile_##H##_2}
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
static tile_t *const tiles[][STRIPS + 1] = {{0}, NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6)};
#endif

// Rows from `first` to `end` times one panel; `following` are the weights that will be wanted next.
static void multiply_panel(const struct product *job, int64_t first, int64_t end, int64_t panel,
                           const float *following) {
  const int64_t strips = strips_of(job->width, panel), blocks = (end - first + TALLEST - 1) / TALLEST;
  const int64_t parts = (job->depth + DEEPEST - 1) / DEEPEST, pace = (strips * LANES + blocks - 1) / blocks;
  const float *weights = job->w + panel * job->depth * PANEL;
  for (int64_t p = 0; p < parts; p++) {
    struct part part = {panel * PANEL, job->depth * p / parts, job->depth * (p + 1) / parts, 0};
    part.weights = weights + part.begin * strips * LANES;
    const float *from = p + 1 < parts ? weights + part.end * strips * LANES : following;
    for (int64_t b = 0; b < blocks; b++) {
      int64_t row = first + (end - first) * b / blocks, below = first + (end - first) * (b + 1) / blocks;
      struct ahead ahead = {from + b * pace * (part.end - part.begin), pace};
      tiles[below - row][strips](job, row, part, ahead);
    }
  }
}

#define STACK (96 * DEEPEST) // numbers of the rows that go through all panels before the next rows do: they stay near
#define FEW 48               // rows for which it does not pay that each thread reads all weights

static int64_t panels_of(const struct product *job) { return (job->width + PANEL - 1) / PANEL; }

// How many times all panels are gone through. A number for each seat, where possible: then its rows are its own in all
// products of a layer, and what it computed before is near.
static int64_t stacks_of(const struct product *job) {
  const int64_t parts = (job->depth + DEEPEST - 1) / DEEPEST, tallest = STACK * parts / job->depth;
  const int64_t stacks = (job->rows + tallest - 1) / tallest, seats = job->seats;
  return job->rows < seats * FEW ? stacks : (stacks + seats - 1) / seats * seats;
}

static const float *weights_of(const struct product *job, int64_t item) {
  return job->w + item % panels_of(job) * job->depth * PANEL;
}

// Guesses which weights a thread wants first of a product that begins after `late` items too many were asked for.
static const float *first_weights(const struct product *job, int64_t late) {
  return weights_of(job, job->seats > 1 ? stacks_of(job) * panels_of(job) * job->seat / job->seats : late);
}

void multiply(const struct product *job, const struct product *then) {
  const int64_t panels = panels_of(job), stacks = stacks_of(job), items = panels * stacks;
  struct queue queue = {job->next, items, job->seats, job->seat, 0};
  for (int64_t item = take(&queue), next; item < items; item = next) {
    next = take(&queue); // now, so that it is known what to fetch
    const int64_t stack = item / panels;
    const float *following = weights_of(job, next < items ? next : item);
    if (next >= items && then) following = first_weights(then, next - items);
    multiply_panel(job, job->rows * stack / stacks, job->rows * (stack + 1) / stacks, item % panels, following);
  }
}

static void multiply_shared(void *product) { multiply(product, 0); }

EXPORTED void llmi_product(float *y, const float *x, const float *w, const float *bias, const float *other,
                           int64_t rows, int64_t depth, int64_t width, int activation, int combination, int threads) {
  int64_t next = 0;
  struct product job = {y, x, w, bias, other, rows, depth, width, (enum activation)activation,
                        (enum combination)combination, &next, 1, 0};
  if (rows > 0) share(multiply_shared, &job, threads);
}

// How many floats the packed weights of a product take.
EXPORTED int64_t llmi_packed_size(int64_t width, int64_t depth) { return padded(width) * depth; }

struct packing {
  float *packed;
  const float *weights;
  int64_t width, depth, next;
};

static void pack_panel(const struct packing *job, int64_t panel) {
  const int64_t strips = strips_of(job->width, panel), first = panel * PANEL, left = job->width - first;
  const int64_t columns = left < PANEL ? left : PANEL;
  for (int64_t begin = 0; begin < job->depth; begin += LINE) { // a few lines at a time, so that they stay at hand
    const int64_t end = begin + LINE < job->depth ? begin + LINE : job->depth;
    for (int64_t c = 0; c < columns; c++)
      for (int64_t k = begin; k < end; k++)
        job->packed[first * job->depth + k * strips * LANES + c] = job->weights[(first + c) * job->depth + k];
  }
}

static void pack(void *argument) {
  struct packing *job = argument;
  for (int64_t panel; (panel = claim(&job->next)) * PANEL < job->width;) pack_panel(job, panel);
}

// Lays out weights [width, depth] as a product reads them; `packed` is zero where no weight will be.
EXPORTED void llmi_pack(float *packed, const float *weights, int64_t width, int64_t depth, int threads) {
  struct packing job = {packed, weights, width, depth, 0};
  share(pack, &job, threads);
}
