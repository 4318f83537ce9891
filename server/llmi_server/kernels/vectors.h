// Registers full of floats, of either width (LANES), and functions of what is in them.

#pragma once

#include <stdint.h>

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4)));

// A panel of weights: the sums of as many rows and strips of columns fit into the registers beside what they come of.
#if LANES == 16
#define TALLEST 8
#define STRIPS 3
#else
#define TALLEST 6
#define STRIPS 2
#endif
#define PANEL (STRIPS * LANES)

#define INLINE static inline __attribute__((always_inline))

// A number rounded up to whole registers.
INLINE int64_t padded(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

// How many strips of columns a panel has: the last one of a matrix may have fewer.
INLINE int64_t strips_of(int64_t width, int64_t panel) {
  const int64_t left = padded(width - panel * PANEL) / LANES;
  return left < STRIPS ? left : STRIPS;
}

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec what) { *(vec *)to = what; }
INLINE vec all(float what) { return what - (vec){0}; }
INLINE vec chosen(ints where, vec one, vec other) { return (vec)(((ints)one & where) | ((ints)other & ~where)); }

// What all lanes come to, taken together in pairs: of halves, of quarters and so on.
#if LANES == 16
#define FOLDED(v, with)                                                                                                \
  v = with(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));                    \
  v = with(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));                    \
  v = with(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
#else
#define FOLDED(v, with)                                                                                                \
  v = with(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));                                                  \
  v = with(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
#endif

INLINE vec sum_of(vec one, vec other) { return one + other; }
INLINE vec greater_of(vec one, vec other) { return chosen(one > other, one, other); }

INLINE float total(vec v) {
  FOLDED(v, sum_of)
  return v[0] + v[1];
}

INLINE float greatest(vec v) {
  FOLDED(v, greater_of)
  return v[0] > v[1] ? v[0] : v[1];
}

// e to the power of x within 2 units in the last place (the polynomial of Cephes' expf). What is no number stays none.
INLINE vec power_of_e(vec x) {
  vec bounded = chosen(x < -87.3f, all(-87.3f), chosen(x > 88.0f, all(88.0f), x));
  vec whole = bounded * 1.44269504f + 12582912.0f; // the nearest integer, in the lowest bits
  ints exponent = (ints)whole << 23;
  whole -= 12582912.0f;
  vec r = bounded - whole * 0.693359375f + whole * 2.12194440e-4f;
  vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return chosen(x == x, (vec)((ints)p + exponent), x);
}

INLINE vec magnitude(vec x) { return (vec)((ints)x & 0x7fffffff); }

// The error function within 1.5e-7 (Abramowitz and Stegun, 7.1.26).
INLINE vec error_function(vec x) {
  vec z = magnitude(x), t = 1.0f / (1.0f + 0.3275911f * z);
  vec p = 1.061405429f * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  vec found = 1.0f - p * t * power_of_e(-z * z);
  return (vec)((ints)found | ((ints)x & INT32_MIN));
}
