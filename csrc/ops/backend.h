// What a glue file needs to know of its backend. Every ops/<op>.cpp is compiled twice: into
// libclusca_ops for the CPU, and with CLUSCA_CUDA into libclusca_cuda. The kernels' launchers have
// one name on both; the CPU's take a thread pool where CUDA's take a stream.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#ifdef CLUSCA_CUDA
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#else
#include "kernels/simd.h"
#endif

namespace clusca {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

#ifdef CLUSCA_CUDA

#define CLUSCA_DISPATCH_KEY CUDA
using half_t = __half;
using bfloat16_t = __nv_bfloat16;

// Calls launch(stream) with the tensor's device current and its current stream.
template <typename Launch>
void run_on(const Tensor& tensor, const Launch& launch) {
  const torch::stable::accelerator::DeviceGuard guard(tensor.get_device_index());
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  STD_CUDA_CHECK(launch(static_cast<cudaStream_t>(stream)));
}

#else

#define CLUSCA_DISPATCH_KEY CPU

// torch's own threads, as a function: pool(count, grain, f) calls f(begin, end) on parts of [0,
// count).
struct ThreadPool {
  template <typename F>
  void operator()(int64_t count, int64_t grain, const F& f) const {
    if (count > 0) torch::stable::parallel_for(0, count, grain, f);
  }
};

template <typename Launch>
void run_on(const Tensor&, const Launch& launch) {
  launch(ThreadPool{});
}

#endif

// fn(scalar_t{}) for a dtype that check.h let through.
template <typename Fn>
void dispatch(ScalarType dtype, const Fn& fn) {
  switch (dtype) {
    case ScalarType::Half:
      return fn(half_t{});
    case ScalarType::BFloat16:
      return fn(bfloat16_t{});
    default:
      return fn(float{});
  }
}

// fn(x_t{}, f_t{}): f is of x's dtype or, where x is float32, of lower precision.
template <typename Fn>
void dispatch(ScalarType x, ScalarType f, const Fn& fn) {
  if (x == ScalarType::Float) return dispatch(f, [&](auto f_zero) { fn(float{}, f_zero); });
  dispatch(x, [&](auto zero) { fn(zero, zero); });
}

// The same where f may also be float32 beside an x of lower precision.
template <typename Fn>
void dispatch_any(ScalarType x, ScalarType f, const Fn& fn) {
  if (x == ScalarType::Float || x == f) return dispatch(x, f, fn);
  dispatch(x, [&](auto zero) { fn(zero, float{}); });
}

}  // namespace clusca
