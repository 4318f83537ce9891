// Matrix products from weights that are packed once, in 32-bit floats. Nothing here allocates, every argument is
// checked by the caller, and a result depends neither on the rows beside it nor on the number of threads.

#pragma once

#include "activation.h"

enum combination { ALONE, PLUS, TIMES };

// y = activation(x w + bias), plus or times other. x is [rows, depth]; y and other are [rows, width]; w lies in panels
// of up to PANEL columns, each [depth, columns], the last one rounded up to whole registers.
struct product {
  float *y;
  const float *x, *w, *bias, *other;
  int64_t rows, depth, width;
  enum activation activation;
  enum combination combination;
  int64_t *next; // as those of a queue; rows are divided among its seats where there are enough
  int seats, seat;
};

// Computes a product, together with the other threads that do so. `then` is the product that comes after it, whose
// weights are fetched while this one ends; 0 where that is not known.
void multiply(const struct product *product, const struct product *then);
