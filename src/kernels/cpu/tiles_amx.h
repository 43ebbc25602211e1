#pragma once
// Sums of byte products in the tiles of AMX-INT8: 16 activation rows by 16 weight rows at once. A
// block of unpacked lines (matmul_int8.inl.h) is a tile as it stands. The tiles are exact integers,
// so nothing here can change a bit of the result.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace localai::kernels {
namespace {

// While one that was wanted lives, this thread's tiles have their shapes.
class Tiles {
 public:
  static constexpr bool kThere = true;
  static constexpr uint8_t kRows = 16;  // of activations; fewer are quicker without tiles
  static constexpr size_t kBlocks = 4;  // at once

  explicit Tiles(bool wanted) : set_(wanted) {
    if (!wanted) return;
    Config config;
    for (int block = 0; block < int{kBlocks}; ++block) config.set(block, kRows, 64);  // sums
    config.set(4, kRows, 32);  // activations of even blocks
    config.set(5, kRows, 32);  // and of odd ones
    config.set(6, 8, 64);      // codes of even blocks
    config.set(7, 8, 64);      // and of odd ones
    written(&config);
    _tile_loadconfig(&config);
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() {
    if (set_) _tile_release();
  }

  // Of kBlocks blocks, out[(block * 16 + i) * 16 + n]: activation row i (32 codes a block at x + i
  // * stride) by weight row n. Each block has sums of its own, so that none waits for the
  // product before it (as measured, 2 % of a prefill).
  [[gnu::always_inline]] static void sums(const int8_t* x, size_t stride,
                                          const uint8_t (*codes)[8][64], int32_t* out) {
    const auto step = static_cast<long>(stride);
    written(x);
    written(codes);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, x, step);
    _tile_loadd(6, codes[0], 64);
    _tile_dpbsud(0, 4, 6);
    _tile_loadd(5, x + 32, step);
    _tile_loadd(7, codes[1], 64);
    _tile_dpbsud(1, 5, 7);
    _tile_loadd(4, x + 64, step);
    _tile_loadd(6, codes[2], 64);
    _tile_dpbsud(2, 4, 6);
    _tile_loadd(5, x + 96, step);
    _tile_loadd(7, codes[3], 64);
    _tile_dpbsud(3, 5, 7);
    _tile_stored(0, out, 64);
    _tile_stored(1, out + 256, 64);
    _tile_stored(2, out + 512, 64);
    _tile_stored(3, out + 768, 64);
  }
  // Of one block.
  [[gnu::always_inline]] static void sums_of_one(const int8_t* x, size_t stride,
                                                 const uint8_t (*codes)[8][64], int32_t* out) {
    written(x);
    written(codes);
    _tile_zero(0);
    _tile_loadd(4, x, static_cast<long>(stride));
    _tile_loadd(6, codes[0], 64);
    _tile_dpbsud(0, 4, 6);
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

  bool set_;
};

}  // namespace
}  // namespace localai::kernels
