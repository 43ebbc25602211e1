#include "base/sha256.h"

#include <openssl/evp.h>

#include <new>

#include "base/check.h"

namespace localai {

struct Sha256::Context {
  EVP_MD_CTX* handle = EVP_MD_CTX_new();
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (context_->handle == nullptr) throw std::bad_alloc();
  LAI_CHECK(EVP_DigestInit_ex(context_->handle, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_->handle); }

Sha256& Sha256::add(std::span<const std::byte> bytes) {
  LAI_CHECK(EVP_DigestUpdate(context_->handle, bytes.data(), bytes.size()) == 1);
  return *this;
}

Sha256& Sha256::add(std::string_view text) {
  add(uint64_t{text.size()});
  return add(std::as_bytes(std::span(text)));
}

Sha256& Sha256::add(uint64_t number) { return add(std::as_bytes(std::span(&number, 1))); }

Digest Sha256::digest() {
  Digest digest{};
  LAI_CHECK(EVP_DigestFinal_ex(context_->handle, reinterpret_cast<unsigned char*>(digest.data()),
                               nullptr) == 1);
  return digest;
}

std::string hex(const Digest& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::byte byte : digest) {
    out += kDigits[std::to_integer<size_t>(byte >> 4)];
    out += kDigits[std::to_integer<size_t>(byte & std::byte{15})];
  }
  return out;
}

}  // namespace localai
