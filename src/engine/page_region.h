#pragma once
// Anonymous zeroed memory straight from the kernel: for the KV pool and recurrent states, which
// are sized once and must be there when they are needed.
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace localai::engine {

// Move-only. All pages are present from the start (huge ones where the kernel has them), so that
// memory runs out here, with an error, and not in the middle of an answer.
class PageRegion {
 public:
  PageRegion() = default;
  // Errors: kExhausted, naming `what` and the bytes. 0 bytes: an empty region.
  static Result<PageRegion> allocate(uint64_t bytes, const char* what);
  PageRegion(PageRegion&& other) noexcept;
  PageRegion& operator=(PageRegion&& other) noexcept;
  PageRegion(const PageRegion&) = delete;
  PageRegion& operator=(const PageRegion&) = delete;
  ~PageRegion();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  // What allocate(bytes) really takes: whole pages.
  static uint64_t rounded(uint64_t bytes);

 private:
  PageRegion(std::byte* data, uint64_t bytes) : data_(data), bytes_(bytes) {}
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace localai::engine
