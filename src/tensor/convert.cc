#include "tensor/convert.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "tensor/blocks.h"

namespace localai {
namespace {

constexpr uint64_t kPiece = 64 * 256;  // elements that one thread converts at a time: whole blocks

ConversionLoss measure(const float* before, const float* after, size_t count) {
  ConversionLoss loss;
  for (size_t i = 0; i < count; ++i) {
    const double difference = double{after[i]} - double{before[i]};
    loss.squared_error += difference * difference;
    loss.squares += double{before[i]} * double{before[i]};
  }
  loss.elements = count;
  return loss;
}

}  // namespace

void ConversionLoss::add(const ConversionLoss& other) {
  squared_error += other.squared_error;
  squares += other.squares;
  elements += other.elements;
}

double ConversionLoss::rmse() const {
  return elements == 0 ? 0 : std::sqrt(squared_error / static_cast<double>(elements));
}

double ConversionLoss::relative_rmse() const {
  return squares == 0 ? 0 : std::sqrt(squared_error / squares);
}

bool is_weight_type(DType dtype) {
  const DTypeInfo& info = dtype_info(dtype);
  return info.block_elements > 1 || dtype == DType::kF32 || dtype == DType::kF16 ||
         dtype == DType::kBF16 || dtype == DType::kF64;
}

void convert(DType from, const std::byte* in, DType to, std::byte* out, uint64_t count,
             ThreadPool& pool, ConversionLoss* loss) {
  const auto bytes = [](DType dtype, uint64_t elements) {
    return dtype_bytes(dtype, elements).value();
  };
  const uint64_t pieces = (count + kPiece - 1) / kPiece;
  std::vector<ConversionLoss> losses(loss == nullptr ? 0 : pieces);
  pool.for_ranges(pieces, 1, [&](size_t begin, size_t end) {
    std::vector<float> before(kPiece), after(loss == nullptr ? 0 : kPiece);
    for (size_t piece = begin; piece < end; ++piece) {
      const uint64_t first = piece * kPiece;
      const size_t length = std::min(kPiece, count - first);
      const std::byte* source = in + bytes(from, first);
      std::byte* target = out + bytes(to, first);
      if (from == to) {
        std::memcpy(target, source, bytes(to, length));
        if (loss == nullptr) continue;
      }
      dequantize(from, source, before.data(), length);
      if (from != to) quantize(to, before.data(), target, length);
      if (loss == nullptr) continue;
      dequantize(to, target, after.data(), length);
      losses[piece] = measure(before.data(), after.data(), length);
    }
  });
  for (const ConversionLoss& part : losses) loss->add(part);
}

}  // namespace localai
