#pragma once
// Many weights from one element type to another, on all threads: what `localai quantize` and
// load-time quantization share.
#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace localai {

// What a conversion lost, against the values before it. Sums over pieces in order: the same on any
// number of threads.
struct ConversionLoss {
  double squared_error = 0;  // sum of (after - before)^2
  double squares = 0;        // sum of before^2
  uint64_t elements = 0;
  void add(const ConversionLoss& other);
  [[nodiscard]] double rmse() const;  // 0 for no elements
  [[nodiscard]] double relative_rmse()
      const;  // rmse over the root mean square before; 0 if that is
};

// Is there a way from `dtype` to f32 and back? Integers and booleans are not weights.
bool is_weight_type(DType dtype);

// `count` elements, whole blocks of both types, from `in` to `out`; equal types are copied. Scratch
// is a few hundred KiB a thread. `loss`, when not null, is added to.
void convert(DType from, const std::byte* in, DType to, std::byte* out, uint64_t count,
             ThreadPool& pool, ConversionLoss* loss = nullptr);

}  // namespace localai
