#pragma once
// How near a text is to what a domain says of itself, by the vectors of an embedding model.
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/domain_config.h"
#include "runtime/embedder.h"

namespace localai::runtime {

// Thread-safe. The domains' own texts are embedded once, when first needed.
class Similarity {
 public:
  Similarity(const DomainConfig& config, std::shared_ptr<Embedder> embedder);

  // By domain: the largest cosine between `text` and the domain's description and examples; -1 for
  // a domain that has neither. Errors: the embedder's.
  [[nodiscard]] Result<std::vector<float>> of(const std::string& text) const;

 private:
  struct Prototypes {
    std::mutex mutex;
    std::optional<Result<std::vector<std::vector<float>>>> vectors;
  };
  Status prepare() const;

  std::shared_ptr<Embedder> embedder_;
  size_t domains_;
  std::vector<std::string> texts_;
  std::vector<size_t> owner_;  // of each text, a domain's index
  std::unique_ptr<Prototypes> prototypes_;
};

}  // namespace localai::runtime
