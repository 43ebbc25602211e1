#pragma once
#include <string>

#include "tensor/tensor_view.h"

namespace localai::formats {

struct NamedTensor {
  std::string name;
  TensorView view;  // into the mapping of the file that holds it
};

}  // namespace localai::formats
