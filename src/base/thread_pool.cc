#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/check.h"

namespace localai {
namespace {

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Waits until value != old: about 20 us of spinning (a pause is ~40 cycles on the cores we know),
// a few yields, then the futex. Longer spinning wins nothing and starves neighbours.
void wait_for_change(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < 1500; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  for (int i = 0; i < 8; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    ::sched_yield();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) : size_(std::max(threads, 1u)) {
  workers_.reserve(size_ - 1);
  for (uint32_t t = 1; t < size_; ++t) workers_.emplace_back([this, t] { worker(t); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::worker(uint32_t thread) {
  uint32_t seen = 0;
  while (true) {
    wait_for_change(generation_, seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    (*work_)(thread);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }
}

void ThreadPool::run(FunctionRef<void(uint32_t)> work) {
  if (size_ == 1) {
    work(0);
    return;
  }
  LAI_DCHECK(pending_.load() == 0);
  work_ = &work;
  pending_.store(size_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  work(0);
  for (uint32_t left = pending_.load(std::memory_order_acquire); left != 0;
       left = pending_.load(std::memory_order_acquire))
    wait_for_change(pending_, left);
}

void ThreadPool::for_ranges(size_t count, size_t grain, FunctionRef<void(size_t, size_t)> work) {
  if (count == 0) return;
  grain = std::max<size_t>(grain, 1);
  if (size_ == 1 || count <= grain) {
    work(0, count);
    return;
  }
  std::atomic<size_t> next{0};
  run([&](uint32_t) {
    while (true) {
      const size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      work(begin, std::min(begin + grain, count));
    }
  });
}

}  // namespace localai
