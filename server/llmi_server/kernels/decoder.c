// All layers of a decoder in one go: threads that meet after each step need nobody to start the next one, and fetch the
// first weights of a product while they end the one before.

#include "attention.h"
#include "product.h"
#include "threads.h"

// One layer of a decoder built as Llama is: packed weights and biases, which may be absent, and its keys and values.
struct layer {
  const float *mix, *mix_bias, *gather, *gather_bias, *gate, *gate_bias, *up, *up_bias, *down, *down_bias;
  float *block;
};

// All layers for a list of tokens. states are [tokens, hidden], in and out; the arrays after it are what is between two
// products: halfway and normed [tokens, hidden], mixed [tokens, heads + 2 key heads, width], queries and seen [tokens,
// heads, width], fed [2, tokens, inner].
struct decoder {
  float *states, *halfway, *normed, *mixed, *queries, *seen, *fed;
  const struct layer *layers;
  const float *turns;
  const int64_t *rows, *positions;
  int64_t *claims; // as many zeros as llmi_decoder_claims says
  int64_t count, tokens, hidden, inner, heads, grid_rows, key_heads, capacity, width;
  float epsilon, scale;
  int threads;
};

enum stage { NORM_FIRST, MIX, TURN, ATTEND, GATHER, NORM_SECOND, GATE, UP, DOWN, STAGES };

static void norm_all(const struct decoder *job, const float *from, int64_t *next) {
  for (int64_t r; (r = claim(next)) < job->tokens;)
    norm(job->normed + r * job->hidden, from + r * job->hidden, job->hidden, job->epsilon);
}

// The product of a stage that is one.
static struct product product_of(const struct decoder *job, int64_t number, enum stage stage) {
  const struct layer *layer = job->layers + number;
  const int64_t tokens = job->tokens, hidden = job->hidden, inner = job->inner, seen = job->heads * job->width;
  const int64_t all_heads = job->heads + 2 * job->key_heads;
  int64_t *next = job->claims + number * STAGES + stage;
  float *gated = job->fed, *fed = gated + tokens * inner;
  switch (stage) {
  case MIX:
    return (struct product){job->mixed, job->normed, layer->mix, layer->mix_bias, 0, tokens, hidden,
                            all_heads * job->width, NONE, ALONE, next, 1, 0};
  case GATHER:
    return (struct product){job->halfway, job->seen, layer->gather, layer->gather_bias, job->states, tokens, seen,
                            hidden, NONE, PLUS, next, 1, 0};
  case GATE:
    return (struct product){gated, job->normed, layer->gate, layer->gate_bias, 0, tokens, hidden, inner, SILU, ALONE,
                            next, 1, 0};
  case UP:
    return (struct product){fed, job->normed, layer->up, layer->up_bias, gated, tokens, hidden, inner, NONE, TIMES,
                            next, 1, 0};
  default:
    return (struct product){job->states, fed, layer->down, layer->down_bias, job->halfway, tokens, inner, hidden, NONE,
                            PLUS, next, 1, 0};
  }
}

static void compute(const struct decoder *job, int64_t number, enum stage stage) {
  static const enum stage after[STAGES] = {[MIX] = GATHER, [GATHER] = GATE, [GATE] = UP, [UP] = DOWN, [DOWN] = MIX};
  const int64_t following = stage == DOWN ? number + 1 : number;
  const struct product product = product_of(job, number, stage);
  const struct product then = following < job->count ? product_of(job, following, after[stage]) : product;
  multiply(&product, &then);
}

static void perform(const struct decoder *job, int64_t number, enum stage stage) {
  const struct cache cache = {job->layers[number].block, job->grid_rows, job->key_heads, job->capacity, job->width};
  const int64_t all_heads = job->heads + 2 * job->key_heads, seen = job->heads * job->width;
  int64_t *next = job->claims + number * STAGES + stage;
  switch (stage) {
  case NORM_FIRST: norm_all(job, job->states, next); return;
  case NORM_SECOND: norm_all(job, job->halfway, next); return;
  case TURN:
    for (int64_t t; (t = claim(next)) < job->tokens;)
      turn(job->queries + t * seen, &cache, job->mixed + t * all_heads * job->width,
           job->turns + job->positions[t] * job->width, job->rows[t], job->positions[t], job->heads);
    return;
  case ATTEND:
    attend(&(struct attention){job->seen, job->queries, cache, job->rows, job->positions, job->tokens, job->heads,
                               job->scale, next});
    return;
  default: compute(job, number, stage);
  }
}

static void decode(void *argument) {
  const struct decoder *job = argument;
  for (int64_t number = 0; number < job->count; number++)
    for (enum stage stage = 0; stage < STAGES; stage++) {
      perform(job, number, stage);
      wait_for_all(job->threads);
    }
}

EXPORTED int64_t llmi_decoder_claims(int64_t layers) { return layers * STAGES; }

// Returns 0, and does nothing, where a token is outside of the cache.
EXPORTED int llmi_decode(struct decoder *job) {
  const struct cache cache = {0, job->grid_rows, job->key_heads, job->capacity, job->width};
  if (!all_inside(&cache, job->rows, job->positions, job->tokens)) return 0;
  share(decode, job, job->threads);
  return 1;
}
