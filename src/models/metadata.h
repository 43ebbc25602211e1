#pragma once
// Hyperparameters as a checkpoint states them: keys of GGUF metadata or of config.json, behind one
// look-up. All values are untrusted; errors name the file and the key.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/checkpoint.h"

namespace localai::models {

// Where a value stands in the two formats; "" where a format has no such key. GGUF keys are
// written without the architecture's prefix ("block_count" for "llama.block_count").
struct Key {
  std::string_view gguf;
  std::string_view config;
};

class Metadata {
 public:
  // Borrows `checkpoint`. Multimodal files keep the text model's values in "text_config".
  explicit Metadata(const formats::Checkpoint& checkpoint);

  [[nodiscard]] bool is_gguf() const { return checkpoint_.gguf() != nullptr; }
  [[nodiscard]] std::string file() const { return checkpoint_.path().string(); }

  // Absent (and null in JSON) -> nullopt; another type -> kCorrupt. A GGUF array stands for a value
  // per layer: equal ones are that value, different ones are kUnsupported.
  [[nodiscard]] Result<std::optional<uint64_t>> unsigned_integer(Key key) const;
  [[nodiscard]] Result<std::optional<double>> number(Key key) const;  // finite
  [[nodiscard]] Result<std::optional<bool>> boolean(Key key) const;
  [[nodiscard]] Result<std::optional<std::string>> string(Key key) const;
  // An array of booleans in GGUF metadata; nullopt when absent or not an array.
  [[nodiscard]] Result<std::optional<std::vector<bool>>> flags(std::string_view gguf_key) const;
  // A whole number per layer, where one number stands for all. Errors: kCorrupt (missing, another
  // type, another count than `layers`).
  [[nodiscard]] Result<std::vector<uint64_t>> per_layer(Key key, uint32_t layers) const;
  // A member of config.json that is not null, or nullptr. nullptr for GGUF.
  [[nodiscard]] const Json* config(std::string_view key) const;

  // Whether config.json has this key with the value null, which can mean other than leaving it out.
  [[nodiscard]] bool config_says_null(std::string_view key) const;

  // A dimension: `fallback` when absent (0: then it is required), within 1..max.
  // Errors: kCorrupt, naming the key, the value and the range.
  [[nodiscard]] Result<uint32_t> dimension(Key key, uint64_t max, uint64_t fallback = 0) const;
  [[nodiscard]] Result<double> number_or(Key key, double fallback) const;

  // "config.json: key 'hidden_size'" or "key 'llama.block_count'", for messages.
  [[nodiscard]] std::string describe(Key key) const;
  [[nodiscard]] Error error(Code code, Key key, const std::string& what) const;

 private:
  [[nodiscard]] std::string gguf_key(std::string_view suffix) const;

  const formats::Checkpoint& checkpoint_;
  std::string prefix_;            // "llama."
  const Json* config_ = nullptr;  // object; null for GGUF
};

// The same look-ups on a JSON object, for nested ones. `where` stands in messages.
Result<std::optional<double>> json_number(const Json& object, std::string_view key,
                                          const std::string& where);
Result<std::optional<std::string>> json_string(const Json& object, std::string_view key,
                                               const std::string& where);

}  // namespace localai::models
