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
  // Pages come as they are written, by whichever thread does. Errors: kExhausted, naming `what` and
  // the bytes. 0 bytes: an empty region.
  static Result<PageRegion> reserve(uint64_t bytes, const char* what);
  // Makes the next `bytes` present, from the beginning on, so that no answer waits for them later.
  // Returns false when there was none left; also without memory for them, then they come as above.
  bool populate(uint64_t bytes);
  PageRegion(PageRegion&& other) noexcept;
  PageRegion& operator=(PageRegion&& other) noexcept;
  PageRegion(const PageRegion&) = delete;
  PageRegion& operator=(const PageRegion&) = delete;
  ~PageRegion();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  // What reserve(bytes) comes to: whole pages.
  static uint64_t rounded(uint64_t bytes);

 private:
  PageRegion(std::byte* data, uint64_t bytes) : data_(data), bytes_(bytes) {}
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t populated_ = 0;  // by populate()
};

}  // namespace localai
