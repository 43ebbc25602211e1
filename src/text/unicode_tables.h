#pragma once
// The generated tables behind unicode.h.
#include <cstddef>
#include <cstdint>

namespace localai::text {

// Code points from `first` up to the next range's have these CharClass bits.
struct CharRange {
  uint32_t first;
  uint32_t classes;
};
extern const CharRange kCharRanges[];
extern const size_t kCharRangeCount;

// Every `step`th code point from `first` to `last` has the lower case `distance` further on.
struct LowerRange {
  uint32_t first, last;
  uint32_t step;
  int32_t distance;
};
extern const LowerRange kLowerRanges[];
extern const size_t kLowerRangeCount;

}  // namespace localai::text
