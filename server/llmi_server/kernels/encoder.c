// All layers of an encoder in one go, for texts that lie one after the other: attention within each of them, and norms
// after both halves of a layer, as BERT has them.

#include "product.h"
#include "threads.h"

// One layer: packed weights and biases, and what the norms' results are multiplied by and moved by.
struct encoder_layer {
  const float *mix, *mix_bias, *out, *out_bias, *up, *up_bias, *down, *down_bias;
  const float *out_gain, *out_shift, *down_gain, *down_shift;
};

// states are [tokens, hidden], in and out. halfway is as large; between is [tokens, four times hidden or inner if that
// is more]; each thread has a desk. A text's tokens are those from its place in `begins` to the next one.
struct encoder {
  float *states, *halfway, *between, *desks;
  const struct encoder_layer *layers;
  const int64_t *begins;
  int64_t *claims; // as many zeros as llmi_encoder_claims says
  int64_t count, texts, tokens, hidden, inner, heads, longest;
  float epsilon;
  int activation, threads;
};

enum stage { MIX, ATTEND, OUT, NORM_OUT, UP, DOWN, NORM_DOWN, STAGES };

#define QUERIES 64 // of one text and head that are computed together

// How many floats one thread's desk takes: keys, values, queries, scores and what was heard.
EXPORTED int64_t llmi_desk_size(int64_t longest, int64_t width) {
  return padded(longest) * (2 * width + QUERIES) + 2 * QUERIES * width;
}

// Lays out keys as the weights of scores: so many columns as there are keys, and zeros up to a whole register.
static void lay_keys(float *packed, const float *keys, int64_t count, int64_t stride, int64_t width) {
  const int64_t columns = padded(count);
  for (int64_t first = 0; first < columns; first += PANEL) {
    const int64_t broad = columns - first < PANEL ? columns - first : PANEL;
    for (int64_t c = 0; c < broad; c++) {
      float *column = packed + first * width + c;
      const float *key = keys + (first + c) * stride;
      if (first + c < count)
        for (int64_t k = 0; k < width; k++) column[k * broad] = key[k];
      else
        for (int64_t k = 0; k < width; k++) column[k * broad] = 0;
    }
  }
}

// Lays out values as weights: each is a row of them, and there are zeros up to a whole register's number of rows.
static void lay_values(float *packed, const float *values, int64_t count, int64_t stride, int64_t width) {
  const int64_t depth = padded(count);
  for (int64_t first = 0; first < width; first += PANEL) {
    const int64_t broad = width - first < PANEL ? width - first : PANEL;
    float *panel = packed + first * depth;
    for (int64_t t = 0; t < depth; t++)
      for (int64_t c = 0; c < broad; c += LANES)
        store(panel + t * broad + c, t < count ? load(values + t * stride + first + c) : all(0));
  }
}

// Makes shares of scores that add up to 1; what is beyond `count` becomes next to nothing.
static void softmax(float *scores, int64_t count) {
  const int64_t broad = padded(count);
  vec highest = all(-__builtin_inff()), sums = all(0);
  for (int64_t t = count; t < broad; t++) scores[t] = -__builtin_inff();
  for (int64_t t = 0; t < broad; t += LANES) highest = chosen(load(scores + t) > highest, load(scores + t), highest);
  const float top = greatest(highest);
  for (int64_t t = 0; t < broad; t += LANES) {
    const vec shares = power_of_e(load(scores + t) - top);
    store(scores + t, shares);
    sums += shares;
  }
  const float scale = 1.0f / total(sums);
  for (int64_t t = 0; t < broad; t += LANES) store(scores + t, load(scores + t) * scale);
}

static void multiply_alone(float *y, const float *x, const float *w, int64_t rows, int64_t depth, int64_t width) {
  int64_t next = 0;
  multiply(&(struct product){y, x, w, 0, 0, rows, depth, width, NONE, ALONE, &next, 1, 0}, 0);
}

// One text and one head: mixed is [tokens, queries, keys and values of all heads], heard [tokens, heads x width].
static void hear(const struct encoder *job, float *desk, int64_t text, int64_t head) {
  const int64_t width = job->hidden / job->heads, stride = 3 * job->hidden, begin = job->begins[text];
  const int64_t count = job->begins[text + 1] - begin, broad = padded(count);
  const float *mixed = job->between + begin * stride + head * width;
  float *heard = job->between + job->tokens * stride + begin * job->hidden + head * width;
  float *keys = desk, *values = keys + broad * width, *scores = values + broad * width;
  float *queries = scores + broad * QUERIES, *found = queries + QUERIES * width;
  const float scale = 1.0f / __builtin_sqrtf((float)width);
  lay_keys(keys, mixed + job->hidden, count, stride, width);
  lay_values(values, mixed + 2 * job->hidden, count, stride, width);
  for (int64_t first = 0; first < count; first += QUERIES) {
    const int64_t rows = count - first < QUERIES ? count - first : QUERIES;
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < width; i += LANES)
        store(queries + r * width + i, load(mixed + (first + r) * stride + i) * scale);
    multiply_alone(scores, queries, keys, rows, width, broad);
    for (int64_t r = 0; r < rows; r++) softmax(scores + r * broad, count);
    multiply_alone(found, scores, values, rows, broad, width);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < width; i += LANES)
        store(heard + (first + r) * job->hidden + i, load(found + r * width + i));
  }
}

// Gives a row mean 0 and variance 1, and scales and moves that.
static void norm_row(float *row, const float *gain, const float *shift, int64_t width, float epsilon) {
  vec sums = all(0), squares = all(0);
  for (int64_t i = 0; i < width; i += LANES) sums += load(row + i);
  const float mean = total(sums) / (float)width;
  for (int64_t i = 0; i < width; i += LANES) squares += (load(row + i) - mean) * (load(row + i) - mean);
  const float scale = 1.0f / __builtin_sqrtf(total(squares) / (float)width + epsilon);
  for (int64_t i = 0; i < width; i += LANES)
    store(row + i, (load(row + i) - mean) * scale * load(gain + i) + load(shift + i));
}

#define BLOCK 4 // rows that are normed in one go

static void norm_rows(const struct encoder *job, float *rows, const float *gain, const float *shift,
                      struct queue queue) {
  queue.items = (job->tokens + BLOCK - 1) / BLOCK;
  for (int64_t block; (block = take(&queue)) < queue.items;)
    for (int64_t r = block * BLOCK; r < job->tokens && r < (block + 1) * BLOCK; r++)
      norm_row(rows + r * job->hidden, gain, shift, job->hidden, job->epsilon);
}

static void hear_all(const struct encoder *job, float *desk, struct queue queue) {
  queue.items = job->texts * job->heads;
  for (int64_t pair; (pair = take(&queue)) < queue.items;) hear(job, desk, pair / job->heads, pair % job->heads);
}

static int64_t *claims_of(const struct encoder *job, int64_t number, enum stage stage) {
  return job->claims + (number * STAGES + stage) * job->threads * APART;
}

// The product of a stage that is one. What is fed takes the place of what was mixed and heard.
static struct product product_of(const struct encoder *job, int seat, int64_t number, enum stage stage) {
  const struct encoder_layer *layer = job->layers + number;
  const int64_t tokens = job->tokens, hidden = job->hidden, inner = job->inner;
  float *states = job->states, *halfway = job->halfway, *mixed = job->between, *heard = mixed + tokens * 3 * hidden;
  int64_t *next = claims_of(job, number, stage);
  const enum activation activation = (enum activation)job->activation;
  const int seats = job->threads;
  switch (stage) {
  case MIX:
    return (struct product){mixed, states, layer->mix, layer->mix_bias, 0, tokens, hidden, 3 * hidden, NONE, ALONE,
                            next, seats, seat};
  case OUT:
    return (struct product){halfway, heard, layer->out, layer->out_bias, states, tokens, hidden, hidden, NONE, PLUS,
                            next, seats, seat};
  case UP:
    return (struct product){mixed, halfway, layer->up, layer->up_bias, 0, tokens, hidden, inner, activation, ALONE,
                            next, seats, seat};
  default:
    return (struct product){states, mixed, layer->down, layer->down_bias, halfway, tokens, inner, hidden, NONE, PLUS,
                            next, seats, seat};
  }
}

static void perform(const struct encoder *job, int seat, int64_t number, enum stage stage) {
  static const enum stage after[STAGES] = {[MIX] = OUT, [OUT] = UP, [UP] = DOWN, [DOWN] = MIX};
  const struct encoder_layer *layer = job->layers + number;
  const struct queue queue = {claims_of(job, number, stage), 0, job->threads, seat, 0};
  if (stage == ATTEND) {
    hear_all(job, job->desks + seat * llmi_desk_size(job->longest, job->hidden / job->heads), queue);
  } else if (stage == NORM_OUT) {
    norm_rows(job, job->halfway, layer->out_gain, layer->out_shift, queue);
  } else if (stage == NORM_DOWN) {
    norm_rows(job, job->states, layer->down_gain, layer->down_shift, queue);
  } else {
    const int64_t following = stage == DOWN ? number + 1 : number;
    const struct product product = product_of(job, seat, number, stage);
    const struct product then = following < job->count ? product_of(job, seat, following, after[stage]) : product;
    multiply(&product, &then);
  }
}

static void encode(void *argument) {
  const struct encoder *job = argument;
  const int seat = (int)claim(claims_of(job, job->count, 0));
  for (int64_t number = 0; number < job->count; number++)
    for (enum stage stage = 0; stage < STAGES; stage++) {
      perform(job, seat, number, stage);
      wait_for_all(job->threads);
    }
}

EXPORTED int64_t llmi_encoder_claims(int64_t layers, int threads) { return (layers * STAGES + 1) * threads * APART; }

EXPORTED void llmi_encode(struct encoder *job) { share(encode, job, job->threads); }
