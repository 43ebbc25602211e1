#pragma once
// Texts become vectors: what the router needs of an embedding model.
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace localai::runtime {

// Thread-safe. The same text gives the same vector, whatever it stands beside.
class Embedder {
 public:
  virtual ~Embedder() = default;
  // One vector of length 1 a text; a text that is too long is cut.
  virtual Result<std::vector<std::vector<float>>> embed(std::span<const std::string> texts) = 0;
};

}  // namespace localai::runtime
