#include "dynamic_shared.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "cuda_emulation.h"

namespace emulation {
namespace {

constexpr size_t kFree = 48 * 1024, kMost = 99 * 1024;  // of sm_86, 89 and 120; others have more
constexpr size_t kAlignment = 128;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

std::unique_ptr<void, Free> memory;
std::map<const void*, int> allowed;

}  // namespace

cudaError_t allow_dynamic_shared(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<size_t>(bytes) > kMost) fail("%d bytes of shared memory", bytes);
  allowed[kernel] = bytes;
  return cudaSuccess;
}

void allocate_dynamic_shared(const void* kernel, size_t bytes) {
  const size_t most = allowed.count(kernel) ? static_cast<size_t>(allowed[kernel]) : kFree;
  if (bytes > most) fail("%zu bytes of shared memory, %zu are allowed", bytes, most);
  if (bytes % kAlignment) fail("%zu bytes of shared memory, not whole lines", bytes);
  memory.reset(bytes ? std::aligned_alloc(kAlignment, bytes) : nullptr);
  if (bytes) std::memset(memory.get(), -1, bytes);
}

unsigned char* dynamic_shared() {
  if (!memory) fail("dynamic shared memory of a block launched without any");
  return static_cast<unsigned char*>(memory.get());
}

}  // namespace emulation
