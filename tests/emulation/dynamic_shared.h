// The shared memory a block is launched with.
#pragma once

#include <cstddef>

namespace emulation {

// Fresh memory for a launch, every byte of it 255, as all shared memory is then.
void allocate_dynamic_shared(const void* kernel, size_t bytes);

}  // namespace emulation
