// For the files that are compiled twice, once a side: scalar types, the queue a launcher takes, and
// arrays as kernels see them.
#pragma once

#include <algorithm>

#include "sides.h"

#ifdef CLUSCA_CUDA
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define SIDE emulated
#else
// Both sides define launchers and types of the same names. In one program they need two namespaces.
#define clusca clusca_cpu
#define SIDE cpu
#endif

#include "kernels/clusters.h"
#ifndef CLUSCA_CUDA
#include "kernels/simd.h"
#endif

namespace SIDE {

#ifdef CLUSCA_CUDA
using float16 = __half;
using bfloat16 = __nv_bfloat16;
constexpr cudaStream_t kQueue = nullptr;
#else
using float16 = clusca::half_t;
using bfloat16 = clusca::bfloat16_t;
// The tasks of a pool, one after the other: three of them where there is enough to do.
struct Pool {
  template <typename Fn>
  void operator()(int64_t count, int64_t, const Fn& fn) const {
    const int64_t size = count / 3 + 1;
    for (int64_t i = 0; i < count; i += size) fn(i, i + size < count ? i + size : count);
  }
};
constexpr Pool kQueue;
#endif

template <typename Fn>
void dispatch(Format format, const Fn& fn) {
  if (format == Format::kFloat) return fn(float{});
  if (format == Format::kHalf) return fn(float16{});
  return fn(bfloat16{});
}

// For the ops whose stream and factors differ: the same, or float32 and anything.
template <typename Fn>
void dispatch(Format x, Format factors, const Fn& fn) {
  if (x == factors) return dispatch(x, [&](auto zero) { fn(zero, zero); });
  dispatch(factors, [&](auto zero) { fn(float{}, zero); });
}

// The same, or float32 on either side.
template <typename Fn>
void dispatch_any(Format x, Format other, const Fn& fn) {
  if (other != Format::kFloat) return dispatch(x, other, fn);
  dispatch(x, [&](auto zero) { fn(zero, float{}); });
}

template <typename T>
clusca::Tokens<T> tokens(Array& a) {
  return {static_cast<T*>(a.data()), a.stride(0), a.stride(1)};
}

inline clusca::Rows rows(Array& a) {
  const size_t dimensions = a.sizes.size();
  return {a.data(), static_cast<clusca::Dtype>(a.format), dimensions >= 2 ? a.stride(0) : 0,
          dimensions == 3 && a.size(1) > 1 ? a.stride(1) : 0};
}

inline clusca::Rows rows(std::optional<Array>& a) { return a ? rows(*a) : clusca::Rows{}; }

inline clusca::Weights weights(std::optional<Array>& on_device, const float (&values)[8]) {
  clusca::Weights weights{};
  if (on_device) {
    weights.data = static_cast<float*>(on_device->data());
    weights.batch_stride = on_device->sizes.size() == 2 ? on_device->stride(0) : 0;
  } else {
    std::copy(values, values + 8, weights.values);
  }
  return weights;
}

template <typename T>
clusca::Factors<T> factors(Array& a, const clusca::Weights& weights) {
  return {static_cast<T*>(a.data()),   a.stride(0), a.stride(1), a.stride(2),
          static_cast<int>(a.size(0)), weights};
}

template <typename T>
clusca::Stack<T> stack(Array& a) {
  return {static_cast<T*>(a.data()), a.stride(0), a.stride(1), a.stride(2)};
}

inline clusca::Indices indices(Array& a) { return {static_cast<int32_t*>(a.data()), a.stride(0)}; }

inline clusca::Clusters clusters(LearntArguments& a) {
  if (!a.correction) return {};
  const clusca::Scalar gamma{a.gamma ? static_cast<float*>(a.gamma->data()) : nullptr,
                             a.gamma_value};
  return {
      rows(a.correction),  indices(a.representatives), indices(a.cluster_ids), nullptr, a.K, gamma,
      clusca::Rule::kValue};
}

}  // namespace SIDE
