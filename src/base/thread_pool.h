#pragma once
// The engine's threads: fork-join over a fixed number of workers, built to survive a busy machine.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace localai {

// A borrowed callable: no allocation, valid for the call only.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT(google-explicit-constructor): stands in for the callable
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  R operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

// One caller at a time; the caller works as thread 0. Waiting spins for some microseconds, yields,
// then sleeps on a futex, so that a descheduled worker costs time and never livelock.
class ThreadPool {
 public:
  // `threads` >= 1, the caller included.
  explicit ThreadPool(uint32_t threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  [[nodiscard]] uint32_t size() const { return size_; }

  // Calls work(thread) once on each of size() threads, 0 <= thread < size(); returns when all have.
  void run(FunctionRef<void(uint32_t thread)> work);

  // Calls work(begin, end) over disjoint pieces that cover [0, count). Pieces are multiples of
  // `grain` (the last may be shorter) and are handed out as threads become free, so which thread
  // runs which piece is not fixed: a piece's result must not depend on it.
  void for_ranges(size_t count, size_t grain, FunctionRef<void(size_t begin, size_t end)> work);

 private:
  void worker(uint32_t thread);

  uint32_t size_;
  const FunctionRef<void(uint32_t)>* work_ = nullptr;
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<uint32_t> pending_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace localai
