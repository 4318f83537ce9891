// What a decoder does between two products: norms, turning by position, and attention of single tokens.

#pragma once

#include <stdint.h>

// Keys and values of one layer: [keys and values, rows, heads, capacity, width].
struct cache {
  float *block;
  int64_t rows, heads, capacity, width;
};

// What each token sees of its text, up to its own position: queries and seen are [tokens, heads, width].
struct attention {
  float *seen;
  const float *queries;
  struct cache cache;
  const int64_t *rows, *positions;
  int64_t tokens, heads;
  float scale;
  int64_t *next;
};

void norm(float *y, const float *x, int64_t width, float epsilon);

// Whether all tokens have a place in the cache.
int all_inside(const struct cache *cache, const int64_t *rows, const int64_t *positions, int64_t count);

// Turns one token's pairs of queries and keys by its position, and puts its keys and values where attention finds them.
void turn(float *queries, const struct cache *cache, const float *mixed, const float *turns, int64_t row,
          int64_t position, int64_t heads);

// Computes attention; each thread that does so takes the texts and heads that it claims by `next`.
void attend(void *attention);
