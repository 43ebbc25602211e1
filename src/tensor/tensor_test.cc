// Types, shapes and half floats.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/tensor_view.h"

namespace localai {
namespace {

uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

TEST(DType, NamesAndIdsAreOneToOne) {
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const DTypeInfo& info = dtype_info(dtype);
    EXPECT_EQ(info.dtype, dtype);
    if (info.ggml_id >= 0) {
      const auto id = static_cast<uint32_t>(info.ggml_id);
      EXPECT_EQ(dtype_from_ggml(id), dtype);
      EXPECT_EQ(ggml_type_name(id), info.name);
    }
    if (info.block_elements == 1) {
      EXPECT_EQ(dtype_from_safetensors(info.name), dtype);
    } else {
      EXPECT_EQ(dtype_from_safetensors(info.name), std::nullopt);
    }
  }
  EXPECT_EQ(ggml_type_name(16), "IQ2_XXS");
  EXPECT_EQ(ggml_type_name(39), "MXFP4");
  EXPECT_EQ(ggml_type_name(42), "Q2_0");
  for (uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 0xFFFFFFFFu}) {
    EXPECT_EQ(ggml_type_name(id), "") << id;
    EXPECT_EQ(dtype_from_ggml(id), std::nullopt) << id;
  }
}

TEST(DType, BytesAreWholeBlocksAndDoNotOverflow) {
  EXPECT_EQ(dtype_bytes(DType::kF32, 3), 12u);
  EXPECT_EQ(dtype_bytes(DType::kQ4_1, 64), 40u);
  EXPECT_EQ(dtype_bytes(DType::kQ6_K, 512), 420u);
  EXPECT_EQ(dtype_bytes(DType::kQ4_0, 33), std::nullopt);
  EXPECT_EQ(dtype_bytes(DType::kF32, uint64_t{1} << 62), std::nullopt);
  EXPECT_EQ(dtype_bytes(DType::kQ4_K, 0), 0u);
}

TEST(Shape, CountsComparesAndPrints) {
  EXPECT_EQ(make_shape({2, 3, 4}).elements(), 24u);
  EXPECT_EQ(make_shape({}).elements(), 1u);
  EXPECT_EQ(make_shape({2, 0}).elements(), 0u);
  EXPECT_EQ(make_shape({2, 3}).text(), "[2, 3]");
  EXPECT_EQ(make_shape({}).text(), "[]");
  EXPECT_EQ(make_shape({2, 3}), make_shape({2, 3}));
  EXPECT_NE(make_shape({2, 3}), make_shape({2, 3, 1}));
  const TensorView view{DType::kQ8_0, make_shape({2, 3, 64}), nullptr, 6 * 68};
  EXPECT_EQ(view.cols(), 64u);
  EXPECT_EQ(view.rows(), 6u);
  EXPECT_EQ(view.row_bytes(), 68u);
}

// The definition of binary16, in doubles: (-1)^s * 2^(e-15) * (1 + m/1024), subnormals 2^-14 *
// m/1024.
double half_by_definition(uint32_t half) {
  const int exponent = static_cast<int>((half >> 10) & 31),
            mantissa = static_cast<int>(half & 1023);
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000u) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryPatternWidensExactlyAndComesBack) {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const float value = f16_to_f32(static_cast<uint16_t>(half));
    if ((half & 0x7C00u) != 0x7C00u) {
      const double expected = half_by_definition(half);
      ASSERT_EQ(static_cast<double>(value), expected) << half;
      ASSERT_EQ(std::signbit(value), std::signbit(expected)) << half;
    } else if ((half & 0x3FFu) == 0) {
      ASSERT_EQ(bits_of(value), half == 0x7C00u ? 0x7F800000u : 0xFF800000u);
    } else {  // quiet, payload and sign kept
      ASSERT_EQ(bits_of(value), ((half & 0x8000u) << 16) | 0x7FC00000u | ((half & 0x3FFu) << 13))
          << half;
    }
    const uint32_t quiet = (half & 0x7FFFu) > 0x7C00u ? half | 0x200u : half;
    ASSERT_EQ(f32_to_f16(value), quiet) << half;
  }
}

// _Float16 is the compiler's own implementation.
uint32_t narrowed_by_compiler(float value) {
  const auto half = static_cast<_Float16>(value);
  uint16_t bits = 0;
  std::memcpy(&bits, &half, sizeof bits);
  return bits;
}

TEST(Half, NarrowingRoundsToNearestEvenAsTheCompilerDoes) {
  for (uint32_t half = 0; half < 0x7C00u; ++half) {  // every value, every midpoint, and around them
    const float value = f16_to_f32(static_cast<uint16_t>(half));
    const float next = f16_to_f32(static_cast<uint16_t>(half + 1));
    const float middle = half == 0x7BFFu ? 65520.f : value + (next - value) / 2;
    for (const float x : {value, middle, std::nextafter(middle, 0.f), std::nextafter(middle, 1e9f)})
      for (const float signed_x : {x, -x})
        ASSERT_EQ(f32_to_f16(signed_x), narrowed_by_compiler(signed_x)) << signed_x;
  }
  for (uint64_t bits = 0; bits < 0x100000000u; bits += 65'521) {  // a prime: all exponents
    const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    ASSERT_EQ(f32_to_f16(value), narrowed_by_compiler(value)) << bits;
  }
}

TEST(BFloat16, EveryPatternWidensAndComesBack) {
  for (uint32_t v = 0; v < 0x10000; ++v) {
    const float value = bf16_to_f32(static_cast<uint16_t>(v));
    ASSERT_EQ(bits_of(value), v << 16);
    const uint32_t quiet = (v & 0x7FFFu) > 0x7F80u ? v | 0x40u : v;
    ASSERT_EQ(f32_to_bf16(value), quiet) << v;
  }
}

TEST(BFloat16, NarrowingTakesTheNearerAndEvenOnTies) {
  for (uint32_t v = 0; v < 0x7F80u; ++v) {
    const uint32_t low = v << 16;
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(low | 0x7FFFu)), v);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(low | 0x8000u)), v + (v & 1u));
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(low | 0x8001u)), v + 1);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(low | 0x80008001u)), (v + 1) | 0x8000u);
  }
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80u);  // rounds to infinity
}

// The definition: (-1)^s * 2^(e-bias) * (1 + m/2^bits), subnormals 2^(1-bias) * m/2^bits.
double float8_by_definition(uint32_t v, int mantissa_bits, int bias) {
  const int exponent = static_cast<int>((v & 0x7F) >> mantissa_bits);
  const int mantissa = static_cast<int>(v) & ((1 << mantissa_bits) - 1), one = 1 << mantissa_bits;
  const double magnitude = exponent == 0
                               ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                               : std::ldexp(one + mantissa, exponent - bias - mantissa_bits);
  return (v & 0x80) != 0 ? -magnitude : magnitude;
}

TEST(Float8, EveryPatternWidensExactlyAndComesBack) {
  for (uint32_t v = 0; v < 256; ++v) {
    const auto code = static_cast<uint8_t>(v);
    const float e4m3 = f8_e4m3_to_f32(code), e5m2 = f8_e5m2_to_f32(code);
    if ((v & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(e4m3)) << v;
    } else {
      EXPECT_EQ(e4m3, float8_by_definition(v, 3, 7)) << v;
      EXPECT_EQ(std::signbit(e4m3), v >= 128) << v;
    }
    EXPECT_EQ(f32_to_f8_e4m3(e4m3), v);
    if ((v & 0x7F) > 0x7C) {
      EXPECT_TRUE(std::isnan(e5m2)) << v;
      EXPECT_EQ(f32_to_f8_e5m2(e5m2), v | 0x7F);
      continue;
    }
    if ((v & 0x7F) < 0x7C) {
      EXPECT_EQ(e5m2, float8_by_definition(v, 2, 15)) << v;
    } else {
      EXPECT_TRUE(std::isinf(e5m2)) << v;
    }
    EXPECT_EQ(f32_to_f8_e5m2(e5m2), v);
  }
  EXPECT_EQ(f8_e4m3_to_f32(0x7E), 448.f);
  EXPECT_EQ(f8_e5m2_to_f32(0x7B), 57344.f);
}

TEST(Float8, NarrowingTakesTheNearerAndEvenOnTies) {
  const auto check = [](uint32_t last, auto widen, auto narrow) {
    for (uint32_t v = 0; v < last; ++v) {
      const auto code = static_cast<uint8_t>(v), next = static_cast<uint8_t>(v + 1);
      const float low = widen(code), high = widen(next), middle = low + (high - low) / 2;
      ASSERT_EQ(narrow(std::nextafter(middle, low)), v);
      ASSERT_EQ(narrow(middle), v + (v & 1));
      ASSERT_EQ(narrow(std::nextafter(middle, high)), v + 1);
      ASSERT_EQ(narrow(-middle), (v + (v & 1)) | 0x80);
    }
  };
  check(0x7E, f8_e4m3_to_f32, f32_to_f8_e4m3);
  check(0x7B, f8_e5m2_to_f32, f32_to_f8_e5m2);
  EXPECT_EQ(f32_to_f8_e4m3(464.f), 0x7E);
  EXPECT_EQ(f32_to_f8_e4m3(std::nextafter(464.f, 500.f)), 0x7F);
  EXPECT_EQ(f32_to_f8_e4m3(-std::numeric_limits<float>::infinity()), 0xFF);
  EXPECT_EQ(f32_to_f8_e5m2(61440.f), 0x7C);
  EXPECT_EQ(f32_to_f8_e5m2(std::numeric_limits<float>::denorm_min()), 0);
}

}  // namespace
}  // namespace localai
