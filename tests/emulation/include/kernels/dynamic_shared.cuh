// Stands for csrc/kernels/dynamic_shared.cuh, whose declaration only CUDA has.
#pragma once

#include <cuda_runtime.h>

namespace clusca {

inline unsigned char* dynamic_shared() { return emulation::dynamic_shared(); }

}  // namespace clusca
