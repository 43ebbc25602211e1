#include "base/page_region.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace localai {
namespace {

uint64_t page_bytes() { return static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)); }

// MADV_POPULATE_WRITE (Linux 5.14) keeps what others write meanwhile, and reports a lack of memory;
// an older kernel answers EINVAL, and there the pages come later.
bool make_present(std::byte* data, uint64_t bytes) {
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, which older headers lack
  while (::madvise(data, bytes, kPopulateWrite) != 0) {
    if (errno != EINTR && errno != EAGAIN) return false;
  }
  return true;
}

Error no_memory(const char* what, uint64_t bytes, int code) {
  return exhausted(std::string(what) + ": no memory for " + std::to_string(bytes) +
                   " bytes: " + std::strerror(code));
}

}  // namespace

uint64_t PageRegion::rounded(uint64_t bytes) {
  const uint64_t page = page_bytes();
  return bytes > ~uint64_t{0} - page ? bytes : (bytes + page - 1) / page * page;
}

Result<PageRegion> PageRegion::reserve(uint64_t bytes, const char* what) {
  if (bytes == 0) return PageRegion();
  const uint64_t size = rounded(bytes);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return no_memory(what, size, errno);
  ::madvise(data, size, MADV_HUGEPAGE);  // advice: without huge pages it is only slower
  return PageRegion(static_cast<std::byte*>(data), size);
}

bool PageRegion::populate(uint64_t bytes) {
  if (populated_ == bytes_) return false;
  bytes = std::min(bytes, bytes_ - populated_);
  const bool present = make_present(data_ + populated_, bytes);
  populated_ = present ? populated_ + bytes : bytes_;
  return true;
}

PageRegion::PageRegion(PageRegion&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      populated_(std::exchange(other.populated_, 0)) {}

PageRegion& PageRegion::operator=(PageRegion&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(populated_, other.populated_);
  return *this;
}

PageRegion::~PageRegion() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

}  // namespace localai
