#pragma once
// Anonymous zeroed memory straight from the kernel, in huge pages where it has them: for what is
// large and sized once.
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace localai {

// Move-only.
class PageRegion {
 public:
  PageRegion() = default;
  // All pages are present from the start, so that memory runs out here, with an error, and not in
  // the middle of an answer. Errors: kExhausted, naming `what` and the bytes. 0 bytes: an empty
  // region.
  static Result<PageRegion> allocate(uint64_t bytes, const char* what);
  // Pages come as they are written, by whichever thread does.
  static Result<PageRegion> reserve(uint64_t bytes, const char* what);
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

}  // namespace localai
