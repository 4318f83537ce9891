// What a product's results go through.

#pragma once

#include "vectors.h"

enum activation { NONE, RELU, GELU, GELU_TANH, SILU, TANH };

INLINE vec activated(vec x, enum activation activation) {
  switch (activation) {
  case RELU: return chosen(x < 0.0f, all(0), x);
  case GELU: return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
  case GELU_TANH: return x / (1.0f + power_of_e(-1.59576912f * (x + 0.044715f * x * x * x)));
  case SILU: return x / (1.0f + power_of_e(-x));
  case TANH: return 1.0f - 2.0f / (1.0f + power_of_e(2.0f * x));
  default: return x;
  }
}
