// The shared memory of a launch. Every byte of it is 255 at first: NaN as a float, -1 as an
// integer.
#pragma once

#include <cstddef>

namespace emulation {

// What kernels declare.
void fill_static_shared();

// What the blocks of a cluster are launched with.
void allocate_dynamic_shared(const void* kernel, size_t bytes, unsigned blocks);

}  // namespace emulation
