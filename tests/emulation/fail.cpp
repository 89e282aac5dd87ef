#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "cuda_emulation.h"

namespace emulation {

void fail(const char* format, ...) {
  std::fputs("cuda emulation: ", stderr);
  if (thread_number() >= 0)
    std::fprintf(stderr, "block (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  std::abort();
}

}  // namespace emulation
