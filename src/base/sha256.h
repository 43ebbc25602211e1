#pragma once
// SHA-256 (FIPS 180-4) of bytes that come in pieces, by OpenSSL.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace localai {

using Digest = std::array<std::byte, 32>;

class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256();

  Sha256& add(std::span<const std::byte> bytes);
  // The length goes in first, so that two texts never read as one.
  Sha256& add(std::string_view text);
  Sha256& add(uint64_t number);
  // Last call.
  Digest digest();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// 64 hexadecimal digits.
std::string hex(const Digest& digest);

}  // namespace localai
