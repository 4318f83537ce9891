#include "attention.h"
#include "threads.h"
#include "vectors.h"

void norm(float *y, const float *x, int64_t width, float epsilon) {
  vec squares[2] = {all(0), all(0)};
  float rest = 0;
  int64_t i = 0;
  for (; i + 2 * LANES <= width; i += 2 * LANES)
    for (int s = 0; s < 2; s++) squares[s] += load(x + i + s * LANES) * load(x + i + s * LANES);
  for (; i < width; i++) rest += x[i] * x[i];
  const float scale = 1.0f / __builtin_sqrtf((total(squares[0] + squares[1]) + rest) / (float)width + epsilon);
  for (i = 0; i < width; i++) y[i] = x[i] * scale;
}

// y = x / sqrt(mean(x x) + epsilon), row by row.
EXPORTED void llmi_rms_norm(float *y, const float *x, int64_t rows, int64_t width, float epsilon) {
  for (int64_t r = 0; r < rows; r++) norm(y + r * width, x + r * width, width, epsilon);
}

INLINE float *place(const struct cache *cache, int64_t part, int64_t row, int64_t head, int64_t position) {
  const int64_t line = (part * cache->rows + row) * cache->heads + head;
  return cache->block + (line * cache->capacity + position) * cache->width;
}

int all_inside(const struct cache *cache, const int64_t *rows, const int64_t *positions, int64_t count) {
  int inside = 1;
  for (int64_t i = 0; i < count; i++)
    inside &= rows[i] >= 0 && rows[i] < cache->rows && positions[i] >= 0 && positions[i] < cache->capacity;
  return inside;
}

void turn(float *queries, const struct cache *cache, const float *mixed, const float *turns, int64_t row,
          int64_t position, int64_t heads) {
  const int64_t key_heads = cache->heads, width = cache->width;
  for (int64_t h = 0; h < heads + 2 * key_heads; h++, mixed += width) {
    float *to = queries + h * width;
    if (h >= heads) to = place(cache, h >= heads + key_heads, row, (h - heads) % key_heads, position);
    if (h >= heads + key_heads) {
      for (int64_t i = 0; i < width; i++) to[i] = mixed[i];
      continue;
    }
    for (int64_t i = 0; i < width; i += 2) {
      to[i] = mixed[i] * turns[i] - mixed[i + 1] * turns[i + 1];
      to[i + 1] = mixed[i] * turns[i + 1] + mixed[i + 1] * turns[i];
    }
  }
}

// Turns all tokens: mixed is [tokens, heads + 2 key heads, width], turns [capacity, 1/2 width, cosine and sine],
// queries [tokens, heads, width]. Returns 0, and does nothing, where a token is outside of the cache.
EXPORTED int llmi_turn(float *queries, float *block, const float *mixed, const float *turns, const int64_t *rows,
                       const int64_t *positions, int64_t tokens, int64_t heads, int64_t grid_rows, int64_t key_heads,
                       int64_t capacity, int64_t width) {
  const struct cache cache = {block, grid_rows, key_heads, capacity, width};
  if (!all_inside(&cache, rows, positions, tokens)) return 0;
  for (int64_t t = 0; t < tokens; t++)
    turn(queries + t * heads * width, &cache, mixed + t * (heads + 2 * key_heads) * width,
         turns + positions[t] * width, rows[t], positions[t], heads);
  return 1;
}

#define KEYS 128 // looked at together
#define WIDEST 256
#define ABREAST 4 // registers of a head's width that are summed at once

INLINE float scored(float *scores, const float *query, const float *keys, int64_t count, int64_t width, float scale) {
  float highest = -__builtin_inff();
  for (int64_t t = 0; t < count; t++, keys += width) {
    vec sum = all(0);
    for (int64_t i = 0; i < width; i += LANES) sum += load(query + i) * load(keys + i);
    scores[t] = total(sum) * scale;
    highest = scores[t] > highest ? scores[t] : highest;
  }
  for (int64_t t = count; t % LANES; t++) scores[t] = -__builtin_inff();
  return highest;
}

INLINE void gathered(float *seen, const float *shares, const float *values, int64_t count, int64_t width,
                     float fading) {
  for (int64_t i = 0; i < width; i += ABREAST * LANES) {
    const int64_t strips = (width - i) / LANES < ABREAST ? (width - i) / LANES : ABREAST;
    vec sums[ABREAST];
    for (int64_t s = 0; s < ABREAST; s++) sums[s] = s < strips ? load(seen + i + s * LANES) * fading : all(0);
    for (int64_t t = 0; t < count; t++)
      for (int64_t s = 0; s < ABREAST; s++)
        if (s < strips) sums[s] += shares[t] * load(values + t * width + i + s * LANES);
    for (int64_t s = 0; s < strips; s++) store(seen + i + s * LANES, sums[s]);
  }
}

// One query and all places that it sees, a stretch at a time: what was seen fades where a higher score comes.
static void look(const struct attention *job, int64_t token, int64_t head) {
  const struct cache *cache = &job->cache;
  const int64_t key_head = head / (job->heads / cache->heads), width = cache->width, length = job->positions[token] + 1;
  const float *query = job->queries + (token * job->heads + head) * width;
  float scores[KEYS], seen[WIDEST] = {0}, highest = -__builtin_inff(), weight = 0;
  for (int64_t begin = 0; begin < length; begin += KEYS) {
    const int64_t count = length - begin < KEYS ? length - begin : KEYS;
    float here = scored(scores, query, place(cache, 0, job->rows[token], key_head, begin), count, width, job->scale);
    const float top = here > highest ? here : highest;
    const float fading = highest == top ? 1.0f : power_of_e(all(highest - top))[0];
    vec sums = all(0);
    for (int64_t t = 0; t < count; t += LANES) {
      const vec shares = power_of_e(load(scores + t) - top); // next to nothing where there are no keys
      store(scores + t, shares);
      sums += shares;
    }
    weight = weight * fading + total(sums);
    gathered(seen, scores, place(cache, 1, job->rows[token], key_head, begin), count, width, fading);
    highest = top;
  }
  float *to = job->seen + (token * job->heads + head) * width;
  for (int64_t i = 0; i < width; i++) to[i] = seen[i] / weight;
}

void attend(void *argument) {
  struct attention *job = argument;
  for (int64_t item; (item = claim(job->next)) < job->tokens * job->cache.heads;) {
    const int64_t group = job->heads / job->cache.heads, first = item % job->cache.heads * group;
    for (int64_t head = first; head < first + group; head++) look(job, item / job->cache.heads, head);
  }
}

// What the last token of each text sees: queries and seen are [texts, heads, width]; a text ends with its position.
// The width is a multiple of 16, at most WIDEST. Returns 0, and does nothing, where a text ends outside of the cache.
EXPORTED int llmi_attend(float *seen, const float *queries, float *block, const int64_t *rows, const int64_t *positions,
                         int64_t texts, int64_t heads, int64_t grid_rows, int64_t key_heads, int64_t capacity,
                         int64_t width, float scale, int threads) {
  const struct cache cache = {block, grid_rows, key_heads, capacity, width};
  int64_t next = 0;
  struct attention job = {seen, queries, cache, rows, positions, texts, heads, scale, &next};
  if (!all_inside(&cache, rows, positions, texts)) return 0;
  share(attend, &job, threads);
  return 1;
}
