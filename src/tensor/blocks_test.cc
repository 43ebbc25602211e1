// Quantized blocks against vectors made with gguf-py and with ggml's own quantizers.
#include "tensor/blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

namespace localai {
namespace {

// A stateless generator, so that the same values can be made anywhere: SplitMix64's finalizer over
// an FNV-1a hash of a name, 24 bits in [-1, 1).
uint64_t fnv1a(std::string_view name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return h;
}
uint64_t mix(uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
float uniform(std::string_view name, uint64_t i) {
  return static_cast<float>(static_cast<double>(mix(fnv1a(name) + i) >> 40) / 8388608.0 - 1.0);
}

uint32_t crc32(const std::vector<uint8_t>& bytes) {
  uint32_t crc = ~0u;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

std::vector<float> test_values(size_t count) {
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = uniform("quant-test", i);
  return x;
}

TEST(Generator, MatchesItsCheckValues) {
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(mix(fnv1a("a")), 0x5f29c2aadd9b8527u);
  EXPECT_EQ(uniform("a", 0), -0.25653815269470215f);
  EXPECT_EQ(uniform("quant-test", 3), 0.39415931701660156f);
  EXPECT_EQ(crc32({'1', '2', '3', '4', '5', '6', '7', '8', '9'}), 0xCBF43926u);
}

// Byte i of the block is 37 i + 11, then the half floats at the given offsets are overwritten.
struct DecodeCase {
  DType dtype;
  std::vector<std::pair<size_t, float>> halves;
  float first[4];
  double sum, weighted_sum;
};

TEST(Dequantize, MatchesTheReferenceVectors) {
  const DecodeCase cases[] = {
      {DType::kQ4_0, {{0, .5f}}, {-1.5f, 1, 3.5f, -2}, -10.5, -259},
      {DType::kQ4_1, {{0, .5f}, {2, -1.25f}}, {6.25f, .75f, 3.25f, 5.75f}, 82.5, 1331.5},
      {DType::kQ5_0, {{0, .5f}}, {4.5f, -1, 1.5f, -4}, 7.5, 56},
      {DType::kQ5_1, {{0, .5f}, {2, -1.25f}}, {8.25f, 10.75f, 13.25f, 7.75f}, 212.5, 3290.5},
      {DType::kQ8_0, {{0, .5f}}, {42.5f, 61, -48.5f, -30}, -88, -4040},
      {DType::kQ4_K, {{0, .5f}, {2, .25f}}, {157.75f, -12.75f, 64.75f, 142.25f}, 27220, 3786420},
      {DType::kQ5_K, {{0, .5f}, {2, .25f}}, {405.75f, -12.75f, 312.75f, 142.25f}, 58108, 8013724},
      {DType::kQ6_K, {{208, .5f}}, {-715.5f, 848, 291.5f, -265}, 2306, 392210},
      {DType::kQ2_K, {{80, .5f}, {82, .25f}}, {16.5f, 0, 5.5f, 11}, 1029.5, 121565},
      {DType::kQ3_K, {{108, .5f}}, {40.5f, -54, 13.5f, -27}, 479, 88572.5},
      {DType::kIQ4_NL, {{0, .5f}}, {-17.5f, 12.5f, 56.5f, -24.5f}, -128.5, -3459.5},
      {DType::kIQ4_XS, {{0, .5f}}, {32.5f, -.5f, -34.5f, 41.5f}, -5502.5, -1045567},
  };
  for (const DecodeCase& c : cases) {
    const DTypeInfo& info = dtype_info(c.dtype);
    std::vector<uint8_t> block(info.block_bytes);
    for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(37 * i + 11);
    for (const auto& [offset, value] : c.halves) {
      const uint16_t half = f32_to_f16(value);
      std::memcpy(block.data() + offset, &half, sizeof half);
    }
    std::vector<float> y(info.block_elements);
    dequantize(c.dtype, block.data(), y.data(), y.size());
    double sum = 0, weighted = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      sum += y[i];
      weighted += static_cast<double>(i + 1) * y[i];
    }
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(y[i], c.first[i]) << info.name << " " << i;
    EXPECT_EQ(sum, c.sum) << info.name;
    EXPECT_EQ(weighted, c.weighted_sum) << info.name;
  }
}

TEST(Dequantize, TypesWithoutHalfFloats) {
  std::vector<uint8_t> block(sizeof(BlockMXFP4));
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(37 * i + 11);
  const auto decode = [&](DType dtype) {
    std::vector<float> y(dtype_info(dtype).block_elements);
    dequantize(dtype, block.data(), y.data(), y.size());
    return y;
  };
  block[0] = 127;
  const std::vector<float> fp4 = decode(DType::kMXFP4);
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < fp4.size(); ++i) {
    sum += fp4[i];
    weighted += static_cast<double>(i + 1) * fp4[i];
  }
  EXPECT_EQ(std::vector<float>(fp4.begin(), fp4.begin() + 4), (std::vector<float>{0, 3, -1, -6}));
  EXPECT_EQ(sum, 12.5);
  EXPECT_EQ(weighted, 319);
  block[1] = 1;  // element 0: the smallest value, half of 2^(e - 127)
  for (const int e : {0, 1, 2, 127, 254, 255}) {
    block[0] = static_cast<uint8_t>(e);
    EXPECT_EQ(decode(DType::kMXFP4)[0], std::ldexp(1.f, e - 128)) << e;
  }

  BlockQ8_K activations{};
  activations.d = .5f;
  activations.qs[0] = -128;
  activations.qs[255] = 3;
  std::vector<float> y(256);
  dequantize(DType::kQ8_K, &activations, y.data(), y.size());
  EXPECT_EQ(y[0], -64.f);
  EXPECT_EQ(y[255], 1.5f);
}

struct EncodeCase {
  DType dtype;
  uint32_t crc;
  uint32_t first;  // the first four bytes, as they are written down
  double rmse;     // 0: not given
};

TEST(Quantize, BytesAreThoseOfGgml) {
  const EncodeCase cases[] = {
      {DType::kQ4_0, 0xc03dcb3e, 0xa0af2079, .0399},
      {DType::kQ4_1, 0xaa7dcd3d, 0x10309cbb, .0359},
      {DType::kQ5_0, 0x69a35193, 0xa0abd251, .0195},
      {DType::kQ5_1, 0xe89c6051, 0xdd2b9cbb, .0169},
      {DType::kQ8_0, 0x32c48627, 0xaf1f7ff5, .00226},
      {DType::kQ4_K, 0x3878a063, 0x67180d24, .0324},
      {DType::kQ5_K, 0xe82350fe, 0x2b141f24, .0163},
      {DType::kQ6_K, 0xefd63e01, 0x40431403, .00792},
      {DType::kQ2_K, 0xf812987a, 0xbddcdeff, .146},
      {DType::kQ3_K, 0x4fa1faad, 0xb6cd92a0, .0696},
      {DType::kQ8_K, 0xb70ed4ea, 0xd79a003c, .00245},
      {DType::kIQ4_NL, 0x8ef9b599, 0xaf9f2079, .0392},
      {DType::kIQ4_XS, 0x30aeb83c, 0x540c0c3f, .0384},
      {DType::kMXFP4, 0xae02dcc2, 0x7c7719d5, .0893},
  };
  const std::vector<float> x = test_values(256);
  for (const EncodeCase& c : cases) {
    std::vector<uint8_t> bytes(*dtype_bytes(c.dtype, x.size()));
    quantize(c.dtype, x.data(), bytes.data(), x.size());
    EXPECT_EQ(crc32(bytes), c.crc) << dtype_name(c.dtype);
    EXPECT_EQ((uint32_t{bytes[0]} << 24) | (uint32_t{bytes[1]} << 16) | (uint32_t{bytes[2]} << 8) |
                  bytes[3],
              c.first)
        << dtype_name(c.dtype);
    std::vector<float> y(x.size());
    dequantize(c.dtype, bytes.data(), y.data(), y.size());
    double squares = 0;
    for (size_t i = 0; i < x.size(); ++i) squares += (x[i] - y[i]) * (x[i] - y[i]);
    // The expected figures are rounded to three digits.
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(x.size())), c.rmse, c.rmse * 0.005)
        << dtype_name(c.dtype);
  }
}

constexpr DType kFloatAndBlockTypes[] = {
    DType::kF32,    DType::kF16,    DType::kBF16,  DType::kF64,     DType::kQ4_0,
    DType::kQ4_1,   DType::kQ5_0,   DType::kQ5_1,  DType::kQ8_0,    DType::kQ4_K,
    DType::kQ5_K,   DType::kQ6_K,   DType::kQ2_K,  DType::kQ3_K,    DType::kQ8_K,
    DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4, DType::kF8_E4M3, DType::kF8_E5M2};

TEST(Quantize, ZerosStayZeroAndBlocksAreIndependent) {
  std::vector<float> x(1024, 0.f);
  const std::vector<float> values = test_values(256);
  std::copy(values.begin(), values.end(), x.begin() + 512);
  for (const DType dtype : kFloatAndBlockTypes) {
    std::vector<uint8_t> bytes(*dtype_bytes(dtype, x.size()) + 1), alone(bytes.size());
    quantize(dtype, x.data(), bytes.data() + 1, x.size());  // at an odd address
    std::vector<float> y(x.size(), 1.f);
    dequantize(dtype, bytes.data() + 1, y.data(), y.size());
    for (size_t i = 0; i < 512; ++i) EXPECT_EQ(y[i], 0.f) << dtype_name(dtype);
    quantize(dtype, values.data(), alone.data(), values.size());
    const size_t at = *dtype_bytes(dtype, 512), size = *dtype_bytes(dtype, 256);
    EXPECT_EQ(std::memcmp(bytes.data() + 1 + at, alone.data(), size), 0) << dtype_name(dtype);
  }
}

// Nothing a weight file can hold may be undefined behaviour (the sanitizers watch).
TEST(Quantize, TakesInfinitiesNansAndHugeValues) {
  const float specials[] = {
      std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
      std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::max(),
      std::numeric_limits<float>::denorm_min()};
  for (const float special : specials) {
    std::vector<float> x = test_values(256);
    x[5] = x[77] = special;
    for (const DType dtype : kFloatAndBlockTypes) {
      std::vector<uint8_t> bytes(*dtype_bytes(dtype, x.size()));
      quantize(dtype, x.data(), bytes.data(), x.size());
      std::vector<float> y(x.size());
      dequantize(dtype, bytes.data(), y.data(), y.size());
      // A block of 32 without the special value is not touched by it, where blocks are that small.
      if (dtype_info(dtype).block_elements > 32) continue;
      // MXFP4 saturates: between 6 and 8 in its units, here 1/8.
      const double bound = dtype == DType::kMXFP4 ? 0.25 : 0.2;
      for (size_t i = 128; i < 256; ++i) EXPECT_NEAR(y[i], x[i], bound) << dtype_name(dtype);
    }
  }
}

}  // namespace
}  // namespace localai
