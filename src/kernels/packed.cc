#include "kernels/packed.h"

#include <cstring>

namespace localai::kernels {

PanelLayout panel_layout(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return panel_layout<BlockQ4_0>();
    case DType::kQ4_1:
      return panel_layout<BlockQ4_1>();
    case DType::kQ5_0:
      return panel_layout<BlockQ5_0>();
    case DType::kQ5_1:
      return panel_layout<BlockQ5_1>();
    case DType::kQ8_0:
      return panel_layout<BlockQ8_0>();
    case DType::kQ2_K:
      return panel_layout<BlockQ2_K>();
    case DType::kQ3_K:
      return panel_layout<BlockQ3_K>();
    case DType::kQ4_K:
      return panel_layout<BlockQ4_K>();
    case DType::kQ5_K:
      return panel_layout<BlockQ5_K>();
    case DType::kQ6_K:
      return panel_layout<BlockQ6_K>();
    case DType::kIQ4_NL:
      return panel_layout<BlockIQ4_NL>();
    case DType::kIQ4_XS:
      return panel_layout<BlockIQ4_XS>();
    case DType::kMXFP4:
      return panel_layout<BlockMXFP4>();
    default:
      return {};
  }
}

void unpack_block(DType type, const std::byte* packed, size_t row, size_t k, size_t block,
                  std::byte* out) {
  const PanelLayout layout = panel_layout(type);
  const size_t blocks = k / dtype_info(type).block_elements, in_panel = row % kPanelRows;
  const std::byte* panel = packed + row / kPanelRows * kPanelRows * blocks * layout.block_bytes;
  const std::byte* line = panel + block * layout.lines * kLineBytes + 4 * in_panel;
  const std::byte* odd = panel + blocks * layout.lines * kLineBytes +
                         (block * kPanelRows + in_panel) * layout.odd_bytes;
  for (size_t i = 0; i < layout.lines; ++i)
    std::memcpy(out + layout.at[i], line + i * kLineBytes, 4);
  std::memcpy(out + layout.odd_at, odd, layout.odd_bytes);
}

}  // namespace localai::kernels
