#include "models/quantization.h"

#include <algorithm>
#include <cctype>
#include <numeric>

#include "base/number.h"

namespace localai::models {
namespace {

constexpr QuantizationType kTypes[] = {
    {"Q4_0", DType::kQ4_0, 2, "4.5 bits a weight"},
    {"Q4_1", DType::kQ4_1, 3, "5 bits"},
    {"Q5_0", DType::kQ5_0, 8, "5.5 bits"},
    {"Q5_1", DType::kQ5_1, 9, "6 bits"},
    {"Q8_0", DType::kQ8_0, 7, "8.5 bits, nearly without loss"},
    {"Q4_K_S", DType::kQ4_K, 14, "4.5 bits, a few tensors more"},
    {"Q4_K_M", DType::kQ4_K, 15, "4.5 bits, sensitive tensors 6.6: the usual choice"},
    {"Q5_K_S", DType::kQ5_K, 16, "5.5 bits"},
    {"Q5_K_M", DType::kQ5_K, 17, "5.5 bits, sensitive tensors 6.6"},
    {"Q6_K", DType::kQ6_K, 18, "6.6 bits"},
    {"F16", DType::kF16, 1, "half precision"},
    {"BF16", DType::kBF16, 32, "bfloat16"},
    {"F32", DType::kF32, 0, "single precision"},
};

constexpr std::string_view kLoadTypes[] = {"Q8_0", "Q4_K_M", "Q4_0", "Q5_K_M", "Q6_K"};

constexpr uint32_t kQ4_K_S = 14, kQ4_K_M = 15, kQ5_K_M = 17;  // general.file_type

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

template <class Names>
std::string joined(const Names& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

bool has(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

// The number after "blk.", or nothing.
std::optional<uint64_t> layer_of(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  name.remove_prefix(4);
  return parse_number<uint32_t>(name.substr(0, name.find('.')));
}

bool may_be_quantized(const MixTensor& tensor) {
  // A leading dimension of 1 is no dimension here: GGUF tools drop it.
  const Shape& shape = tensor.shape;
  const auto counted = std::find_if(shape.dims.begin(), shape.dims.begin() + shape.rank,
                                    [](uint64_t dim) { return dim != 1; });
  if (shape.dims.begin() + shape.rank - counted < 2) return false;
  const std::string_view name = tensor.name;
  if (!name.ends_with("weight")) return false;
  if (name == "position_embd.weight" || name == "token_types.weight") return false;
  for (const std::string_view part : {"_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d"})
    if (has(name, part)) return false;
  return true;
}

// The output matrix, or the embedding that stands for it: never below six bits.
DType output_type(DType type, uint64_t cols) {
  if (cols % dtype_info(type).block_elements != 0) return DType::kQ8_0;
  return type == DType::kQ8_0 ? type : DType::kQ6_K;
}

// What takes the place of a type whose blocks do not fill the rows.
DType fitting(DType type, uint64_t cols) {
  if (cols % dtype_info(type).block_elements == 0) return type;
  if (type == DType::kQ4_K) type = DType::kQ5_0;
  if (type == DType::kQ5_K) type = DType::kQ5_1;
  if (type == DType::kQ6_K) type = DType::kQ8_0;
  return cols % dtype_info(type).block_elements == 0 ? type : DType::kF16;
}

// The first and last eighth of the layers, and every third between.
bool more_bits(uint64_t i, uint64_t n) {
  return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

// Walks the tensors in the order of layers and names, and counts as it goes.
class Mix {
 public:
  Mix(const QuantizationType& type, const MixFacts& facts, std::span<const MixTensor> tensors)
      : type_(type), facts_(facts) {
    for (const MixTensor& tensor : tensors) {
      if (tensor.name == "output.weight") tied_ = false;
      if (is_attention_value(tensor.name)) ++values_;
    }
  }

  DType next(const MixTensor& tensor) {
    if (dtype_info(type_.dtype).block_elements == 1) return type_.dtype;
    return fitting(chosen(tensor), tensor.shape[tensor.shape.rank - 1]);
  }

 private:
  static bool is_attention_value(std::string_view name) {
    return has(name, "attn_v.weight") || has(name, "attn_qkv.weight") ||
           has(name, "attn_kv_b.weight");
  }
  [[nodiscard]] bool medium() const {
    return type_.file_type == kQ4_K_M || type_.file_type == kQ5_K_M;
  }
  [[nodiscard]] bool small_or_medium_4() const {
    return type_.file_type == kQ4_K_S || type_.file_type == kQ4_K_M;
  }

  DType chosen(const MixTensor& tensor) {
    const std::string_view name = tensor.name;
    if (name == "output.weight" || (tied_ && name == "token_embd.weight"))
      return output_type(type_.dtype, tensor.shape[tensor.shape.rank - 1]);
    if (is_attention_value(name)) return attention_value();
    if (has(name, "attn_k.weight") && facts_.experts == 8) return DType::kQ8_0;
    if (has(name, "attn_output.weight") && facts_.experts == 8 && small_or_medium_4())
      return DType::kQ5_K;
    if (has(name, "ffn_down")) return ffn_down(name);
    return type_.dtype;
  }

  DType attention_value() {
    const uint64_t i = values_seen_++;
    DType type = type_.dtype;
    if (medium() && more_bits(i, values_)) type = DType::kQ6_K;
    if (type_.file_type == kQ4_K_S && i < 4) type = DType::kQ5_K;
    if (is_70b() && type == DType::kQ4_K) type = DType::kQ5_K;
    return facts_.experts == 8 ? DType::kQ8_0 : type;
  }

  // Eight query heads share each value head there: more bits cost little.
  [[nodiscard]] bool is_70b() const {
    return facts_.layers == 80 &&
           (facts_.architecture == "qwen2" ||
            (facts_.architecture == "llama" && facts_.heads != facts_.kv_heads));
  }

  DType ffn_down(std::string_view name) {
    // Tensors of single experts may stand in any order: the name says the layer then.
    uint64_t i = downs_seen_++;
    if (facts_.experts > 1) i = layer_of(name).value_or(i);
    if (medium() && more_bits(i, facts_.layers)) return DType::kQ6_K;
    if (type_.file_type == kQ4_K_S && i < facts_.layers / 8) return DType::kQ5_K;
    return type_.dtype;
  }

  const QuantizationType& type_;
  const MixFacts& facts_;
  bool tied_ = true;
  uint64_t values_ = 0;  // tensors of that kind in the model
  uint64_t values_seen_ = 0, downs_seen_ = 0;
};

}  // namespace

std::span<const QuantizationType> quantization_types() { return kTypes; }

const QuantizationType* find_quantization(std::string_view name) {
  std::string wanted = upper(name);
  if (wanted == "Q4_K" || wanted == "Q5_K") wanted += "_M";
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const auto& type) { return type.name == wanted; });
  return found == std::end(kTypes) ? nullptr : found;
}

const QuantizationType* find_load_quantization(std::string_view name) {
  const QuantizationType* type = find_quantization(name);
  const bool offered = type != nullptr && std::find(std::begin(kLoadTypes), std::end(kLoadTypes),
                                                    type->name) != std::end(kLoadTypes);
  return offered ? type : nullptr;
}

std::string quantization_names() {
  std::vector<std::string_view> names;
  for (const QuantizationType& type : kTypes) names.push_back(type.name);
  return joined(names);
}

std::string load_quantization_names() {
  std::string names = joined(kLoadTypes);
  for (char& c : names) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return names;
}

std::vector<DType> choose_types(const QuantizationType& type, const MixFacts& facts,
                                std::span<const MixTensor> tensors) {
  const auto key = [&](size_t i) {  // what belongs to no layer comes first
    const auto layer = layer_of(tensors[i].name);
    return std::pair(layer ? static_cast<int64_t>(*layer) : -1, std::string_view(tensors[i].name));
  };
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  std::vector<DType> types(tensors.size());
  Mix mix(type, facts, tensors);
  for (const size_t i : order)
    types[i] = may_be_quantized(tensors[i]) ? mix.next(tensors[i]) : tensors[i].dtype;
  return types;
}

}  // namespace localai::models
