// Kernels with one mistake each, which the emulation must report, and a few it must let pass. The
// argument names the one to run.
#include <cuda_runtime.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"
#include "kernels/tensor_core.cuh"

namespace {

struct Params {
  float* values;  // [64]
};

__global__ void reads_beyond_a_buffer(const Params p) {
  const float next = p.values[threadIdx.x + 1];
  p.values[threadIdx.x] = next;
}

__global__ void reads_beyond_shared_memory(const Params p) {
  __shared__ float scratch[32];
  const float* from = scratch;
  p.values[threadIdx.x] = from[threadIdx.x];
}

__global__ void reads_a_misaligned_packet(const Params p) {
  struct alignas(16) Packet {
    float data[4];
  };
  p.values[0] = reinterpret_cast<const Packet*>(p.values + 1)->data[0];
}

__global__ void parts_at_a_barrier(const Params p) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    p.values[threadIdx.x] = 0.f;
    __syncthreads();
  }
}

__global__ void parts_between_barrier_and_shuffle(const Params p) {
  if (threadIdx.x % 2) __syncthreads();
  p.values[threadIdx.x] = clusca::warp_sum(1.f);
}

__global__ void shuffles_with_lanes_that_left(const Params p) {
  if (threadIdx.x % 32 >= 16) return;
  p.values[threadIdx.x] = clusca::warp_sum(1.f);
}

__global__ void does_nothing(const Params) {}

__global__ void reads_unwritten_shared_memory(const Params p) {
  __shared__ float scratch[64];
  p.values[threadIdx.x] = scratch[threadIdx.x];
}

__global__ void leaves_before_a_barrier(const Params p) {
  __shared__ float scratch[64];
  if (threadIdx.x >= 50) return;
  scratch[threadIdx.x] = 1.f;
  __syncthreads();
  float sum = 0.f;
  for (int i = 0; i < 50; ++i) sum += scratch[i];
  p.values[threadIdx.x] = sum;
}

__global__ void sums_its_block(const Params p) {
  __shared__ float scratch[2];
  const float once = clusca::block_sum<64>(1.f, scratch);
  p.values[threadIdx.x] = clusca::block_sum<64>(once, scratch);
}

// A copy that nobody has waited for may not be there yet.
__global__ void waits_for_its_copies(const Params p) {
  auto* packets = reinterpret_cast<float*>(clusca::dynamic_shared()) + threadIdx.x * 4;
  clusca::copy_packet(packets, p.values + threadIdx.x % 16 * 4, true);
  clusca::end_copies();
  const bool early = packets[0] == packets[0];
  clusca::wait_for_copies<0>();
  if (threadIdx.x < 16) p.values[threadIdx.x * 4] = early ? 1.f : 2.f + packets[0];
}

__global__ void copies_a_misaligned_packet(const Params p) {
  clusca::copy_packet(clusca::dynamic_shared(), p.values + 1, true);
}

__global__ void reads_beyond_dynamic_shared(const Params p) {
  p.values[0] = reinterpret_cast<const float*>(clusca::dynamic_shared())[32 + threadIdx.x];
}

// The product of two matrices of ones, 16 x 16 and 16 x 8.
__global__ void multiplies(const Params p) {
  const uint32_t ones = 0x3c003c00u, a[4] = {ones, ones, ones, ones};
  float sum[4] = {1.f, 1.f, 1.f, 1.f};
  clusca::multiply_add<__half>(sum, a, ones, ones);
  p.values[threadIdx.x] = sum[threadIdx.x % 4];
}

struct Case {
  void (*kernel)(Params);
  dim3 block;
  bool (*holds)(const float* values);  // null: the emulation must end the program
  int shared = 0;                      // bytes
};

const std::map<std::string, Case> kCases = {
    {"reads_beyond_a_buffer", {reads_beyond_a_buffer, 64, nullptr}},
    {"reads_beyond_shared_memory", {reads_beyond_shared_memory, 64, nullptr}},
    {"reads_a_misaligned_packet", {reads_a_misaligned_packet, 1, nullptr}},
    {"parts_at_a_barrier", {parts_at_a_barrier, 64, nullptr}},
    {"parts_between_barrier_and_shuffle", {parts_between_barrier_and_shuffle, 64, nullptr}},
    {"shuffles_with_lanes_that_left", {shuffles_with_lanes_that_left, 64, nullptr}},
    {"has_too_many_threads", {does_nothing, dim3(41, 25), nullptr}},
    {"has_no_threads", {does_nothing, dim3(32, 0), nullptr}},
    {"has_too_much_shared_memory", {does_nothing, 32, nullptr, 128 * 1024}},
    {"copies_a_misaligned_packet", {copies_a_misaligned_packet, 1, nullptr, 128}},
    {"reads_beyond_dynamic_shared", {reads_beyond_dynamic_shared, 1, nullptr, 128}},
    {"waits_for_its_copies",
     {waits_for_its_copies, 64, [](const float* values) { return values[8] == 2.f; }, 1024}},
    {"multiplies", {multiplies, 64, [](const float* values) { return values[63] == 17.f; }}},
    {"reads_unwritten_shared_memory",
     {reads_unwritten_shared_memory, 64,
      [](const float* values) { return values[9] != values[9]; }}},
    {"leaves_before_a_barrier",
     {leaves_before_a_barrier, 64, [](const float* values) { return values[0] == 50.f; }}},
    {"sums_its_block",
     {sums_its_block, 64, [](const float* values) { return values[63] == 4096.f; }}},
};

}  // namespace

int main(int, char** arguments) {
  const Case& test = kCases.at(arguments[1]);
  std::vector<float> values(64);
  clusca::launch(test.kernel, test.shared ? 1 : 2, test.block, nullptr, Params{values.data()},
                 clusca::LaunchOptions{test.shared, 1});
  return test.holds && test.holds(values.data()) ? 0 : 1;
}
