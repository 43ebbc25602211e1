#pragma once
// The generated table behind unicode.h.
#include <cstddef>
#include <cstdint>

namespace localai::text {

// Code points from `first` up to the next range's have these CharClass bits.
struct CharRange {
  uint32_t first;
  uint16_t classes;
};
extern const CharRange kCharRanges[];
extern const size_t kCharRangeCount;

}  // namespace localai::text
