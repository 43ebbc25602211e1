#pragma once
// Of the sets whose processors have no tiles (tiles_amx.h).

#include <cstdint>

namespace localai::kernels {
namespace {

struct Tiles {
  static constexpr bool kThere = false;
  static constexpr uint8_t kRows = 0;
  explicit Tiles(bool) {}
};

}  // namespace
}  // namespace localai::kernels
