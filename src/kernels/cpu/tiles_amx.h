#pragma once
// Sums of byte products in the tiles of AMX-INT8: 16 activation rows by 16 weight rows at once. A
// block of unpacked lines (matmul_int8.inl.h) is a tile as it stands. The tiles are exact integers,
// so nothing here can change a bit of the result.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace localai::kernels {
namespace {

// While one lives, this thread's tiles have their shapes.
class Tiles {
 public:
  static constexpr bool kThere = true;
  static constexpr uint8_t kRows = 16;  // of activations; fewer are quicker without tiles

  Tiles() {
    Config config;
    config.set(0, kRows, 64);  // sums
    config.set(1, kRows, 32);  // activations of a block
    config.set(2, 8, 64);      // its codes
    written(&config);
    _tile_loadconfig(&config);
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() { _tile_release(); }

  // out[i * 16 + n]: activation row i (32 codes at x + i * stride) by weight row n.
  [[gnu::always_inline]] static void sums(const int8_t* x, size_t stride,
                                          const uint8_t (&codes)[8][64], int32_t* out) {
    written(x);
    written(codes);
    _tile_zero(0);
    _tile_loadd(1, x, static_cast<long>(stride));
    _tile_loadd(2, codes[0], 64);
    _tile_dpbsud(0, 1, 2);
    _tile_stored(0, out, 64);
  }

 private:
  // Compilers do not see what tile instructions read: here all of it has to be in memory.
  [[gnu::always_inline]] static void written(const void* p) {
    __asm__ volatile("" ::"r"(p) : "memory");
  }
  // The operand of LDTILECFG.
  struct alignas(64) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
    void set(int tile, uint8_t count, uint16_t bytes) {
      rows[tile] = count;
      row_bytes[tile] = bytes;
    }
  };
};

}  // namespace
}  // namespace localai::kernels
