#pragma once
// Of the sets whose processors have no tiles (tiles_amx.h).

namespace localai::kernels {
namespace {

struct Tiles {
  static constexpr bool kThere = false;
};

}  // namespace
}  // namespace localai::kernels
