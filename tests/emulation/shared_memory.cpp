#include "shared_memory.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "cuda_emulation.h"

extern char __start_cuda_shared[] __attribute__((weak));
extern char __stop_cuda_shared[] __attribute__((weak));

namespace emulation {
namespace {

constexpr size_t kFree = 48 * 1024, kMost = 99 * 1024;  // of sm_86, 89 and 120; others have more
constexpr size_t kAlignment = 128;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

std::vector<std::unique_ptr<void, Free>> memory;  // a block
size_t size;
std::map<const void*, int> allowed;

}  // namespace

// The red zones between the arrays may be written.
__attribute__((no_sanitize_address)) void fill_static_shared() {
  for (volatile char* byte = __start_cuda_shared; byte < __stop_cuda_shared; ++byte) *byte = -1;
}

cudaError_t allow_dynamic_shared(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<size_t>(bytes) > kMost) fail("%d bytes of shared memory", bytes);
  allowed[kernel] = bytes;
  return cudaSuccess;
}

void allocate_dynamic_shared(const void* kernel, size_t bytes, unsigned blocks) {
  const size_t most = allowed.count(kernel) ? static_cast<size_t>(allowed[kernel]) : kFree;
  if (bytes > most) fail("%zu bytes of shared memory, %zu are allowed", bytes, most);
  memory.clear();
  size = bytes;
  for (unsigned i = 0; i < blocks && bytes > 0; ++i) {
    void* of_block = nullptr;  // of exactly these bytes, whole lines or not
    if (posix_memalign(&of_block, kAlignment, bytes)) fail("no memory for a block");
    memory.emplace_back(of_block);
    std::memset(memory.back().get(), -1, bytes);
  }
}

unsigned char* dynamic_shared() {
  if (memory.empty()) fail("dynamic shared memory of a block launched without any");
  return static_cast<unsigned char*>(memory[rank_in_cluster()].get());
}

void* in_block(void* own, int rank) {
  const ptrdiff_t offset = static_cast<unsigned char*>(own) - dynamic_shared();
  if (offset < 0 || static_cast<size_t>(offset) >= size) fail("in_block of other memory");
  if (rank < 0 || static_cast<size_t>(rank) >= memory.size()) fail("in_block %d", rank);
  return static_cast<unsigned char*>(memory[rank].get()) + offset;
}

int most_dynamic_shared() { return static_cast<int>(kMost); }

}  // namespace emulation
