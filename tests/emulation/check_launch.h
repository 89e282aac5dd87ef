// What a CUDA driver would refuse to launch.
#pragma once

#include "cuda_emulation.h"

namespace emulation {

// Ends the program if it would; returns how many blocks a cluster has.
unsigned check_launch(const cudaLaunchConfig_t& config);

}  // namespace emulation
