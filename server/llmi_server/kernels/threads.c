#include "threads.h"

typedef void fork_t(void (*work)(void *), void *job, unsigned threads, unsigned flags);
typedef void barrier_t(void);
static fork_t *fork_threads;
static barrier_t *pass_barrier;

// Takes the addresses of GOMP_parallel and GOMP_barrier of the OpenMP library that PyTorch computes with.
EXPORTED void llmi_use_threads(fork_t *gomp_parallel, barrier_t *gomp_barrier) {
  fork_threads = gomp_parallel;
  pass_barrier = gomp_barrier;
}

void share(void (*work)(void *), void *job, int threads) {
  if (threads > 1) fork_threads(work, job, (unsigned)threads, 0);
  else work(job);
}

void wait_for_all(int threads) {
  if (threads > 1) pass_barrier();
}
