// Threads that work on one thing together, each claiming the next item of it. They are PyTorch's own, lent by its
// OpenMP library: a second pool would fight with the first for the cores.

#pragma once

#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))

// Has so many threads work, this one among them, and comes back when all have done.
void share(void (*work)(void *), void *job, int threads);

// For work that is shared: waits until all threads have come so far.
void wait_for_all(int threads);

static inline int64_t claim(int64_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }

#define APART 8 // counters that different threads write to lie so far from each other: in a line of memory each

// Items in one part for each seat. Who has a seat takes the items of its own part first, whose numbers lie in its cache,
// and then those of the others: a core that is slower for a while is helped. With one seat all take from one part.
struct queue {
  int64_t *next; // zeros to begin with, one for each seat, APART from each other
  int64_t items;
  int seats, seat, emptied;
};

// Returns the next item; when none is left, a number that is not less than there are.
static inline int64_t take(struct queue *queue) {
  int64_t item = queue->items;
  while (queue->emptied < queue->seats) {
    const int64_t part = (queue->seat + queue->emptied) % queue->seats;
    item = queue->items * part / queue->seats + claim(queue->next + part * APART);
    if (item < queue->items * (part + 1) / queue->seats) return item;
    queue->emptied++;
  }
  return queue->seats > 1 ? queue->items : item;
}
