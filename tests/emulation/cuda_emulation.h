// The part of CUDA that csrc/kernels uses, on a CPU: the .cu sources compile unchanged with a C++
// compiler and run under AddressSanitizer and UBSan. One fiber a thread; blocks run one after
// another. Fibers give way at barriers and warp shuffles. Launches take turns in four orders:
// threads and blocks ascending or descending, and a warp whose shuffle is complete going on at once
// or when all others wait too.
//
// What a run shows: indexing, tails of rows and grids, reductions, labels, the launchers' choice
// between packets and scalars, reads and writes outside a buffer or a shared array, misaligned
// packets, barriers and shuffles that some threads never reach, shared memory nobody has written
// (filled with NaN before every launch).
// What it does not show: races, a missing __syncwarp, memory ordering, contraction to fused
// multiply-adds, approximate functions, registers and occupancy, compiled code, speed. A missing
// __syncthreads gives a wrong result only where the order of the fibers happens to expose it. It
// is never evidence that a kernel works on a GPU.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>

// Static, so that each source file has kernels of its own and their shared arrays are its own too:
// compilers guard no others.
#define __global__ static
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__
// Static, because one block runs at a time; in a section of its own, to be found and refilled.
#define __shared__ static __attribute__((section("cuda_shared")))

struct uint3 {
  unsigned x, y, z;
};

struct dim3 : uint3 {
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : uint3{x, y, z} {}
};

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
using cudaStream_t = struct CUstream_st*;

enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 4 };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    struct {
      unsigned x, y, z;
    } clusterDim;
  } val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

extern dim3 gridDim, blockDim;
extern uint3 blockIdx, threadIdx;

namespace emulation {

void launch(const cudaLaunchConfig_t& config, const void* kernel,
            const std::function<void()>& thread);
void barrier(const char* place);
// Posts a value, waits for the lanes of the mask, returns what they have posted,
// until the next wait.
using Value = std::array<uint64_t, 3>;
using Posted = std::array<Value, 32>;
const Posted& gather(unsigned mask, const Value& value, const char* place);
// Of these, what lane (own ^ lane_mask) has posted.
uint64_t exchange(unsigned mask, uint64_t value, int lane_mask, const char* place);
// As many bytes as the running block was launched with, which a kernel must have been allowed.
unsigned char* dynamic_shared();
// Where an address in it lies in that of another block of the cluster.
void* in_block(void* own, int rank);
int most_dynamic_shared();
cudaError_t allow_dynamic_shared(const void* kernel, int bytes);
int thread_number();        // of the running thread in its block
int rank_in_cluster();      // of its block
uint64_t cluster_number();  // of all clusters ever run, which mostly are single blocks
void cluster_barrier(const char* place);
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
// The address of every kernel launched so far.
const std::set<const void*>& launched_kernels();

inline unsigned ballot(unsigned mask, bool holds, const char* place) {
  const Posted& posted = gather(mask, {holds}, place);
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane) bits |= (posted[lane][0] & mask >> lane & 1u) << lane;
  return bits;
}

template <typename T>
T shuffle_xor(unsigned mask, T value, int lane_mask, const char* place) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle exchanges 32 or 64 bits");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(mask, bits, lane_mask, place);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulation

#define EMULATION_TEXT(x) #x
#define EMULATION_PLACE(line) __FILE__ ":" EMULATION_TEXT(line)
#define __syncthreads() emulation::barrier(EMULATION_PLACE(__LINE__))
#define __syncwarp() emulation::exchange(0xffffffffu, 0, 0, EMULATION_PLACE(__LINE__))
#define __shfl_xor_sync(mask, value, lane_mask) \
  emulation::shuffle_xor(mask, value, lane_mask, EMULATION_PLACE(__LINE__))

// Fibers never run at the same time, so that a plain update is atomic.
inline int atomicAdd(int* to, int value) {
  const int old = *to;
  *to = old + value;
  return old;
}

inline int atomicMax(int* to, int value) {
  const int old = *to;
  *to = std::max(old, value);
  return old;
}

inline unsigned long long atomicMax(unsigned long long* to, unsigned long long value) {
  const unsigned long long old = *to;
  *to = std::max(old, value);
  return old;
}

inline int __float_as_int(float value) {
  int bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

using std::max;

inline cudaError_t cudaGetLastError() { return cudaSuccess; }

inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}

inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int bytes) {
  return emulation::allow_dynamic_shared(kernel, bytes);
}

struct cudaFuncAttributes {
  int ptxVersion;
};

inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->ptxVersion = 90;
  return cudaSuccess;
}

inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = emulation::most_dynamic_shared();
  return cudaSuccess;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }

#define __ballot_sync(mask, holds) emulation::ballot(mask, holds, EMULATION_PLACE(__LINE__))

template <typename... Params, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...),
                               Arguments&&... arguments) {
  static_assert((sizeof(Params) + ...) <= 4096, "parameters must fit into 4 kB");
  emulation::launch(*config, reinterpret_cast<const void*>(kernel), [&] { kernel(arguments...); });
  return cudaSuccess;
}
