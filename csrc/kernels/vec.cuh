// 128-bit packets: the widest load and store a thread can issue, as float32 values.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/tensors.h"

namespace clusca {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
__device__ T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

template <typename T, int kVec>
struct alignas(sizeof(T) * kVec) Packet {
  T data[kVec];
};

// Elements of T in 128 bits. A float packet of a half type's kVec = 8 is two of them.
template <typename T>
inline constexpr int kPacketSize = 16 / sizeof(T);

template <int kVec, typename T>
__device__ inline void load(const T* from, float (&to)[kVec]) {
  constexpr int kStep = kVec < kPacketSize<T> ? kVec : kPacketSize<T>;
#pragma unroll
  for (int i = 0; i < kVec; i += kStep) {
    const auto packet = *reinterpret_cast<const Packet<T, kStep>*>(from + i);
#pragma unroll
    for (int v = 0; v < kStep; ++v) to[i + v] = to_float(packet.data[v]);
  }
}

template <int kVec, typename T>
__device__ inline void store(T* to, const float (&from)[kVec]) {
  constexpr int kStep = kVec < kPacketSize<T> ? kVec : kPacketSize<T>;
#pragma unroll
  for (int i = 0; i < kVec; i += kStep) {
    Packet<T, kStep> packet;
#pragma unroll
    for (int v = 0; v < kStep; ++v) packet.data[v] = from_float<T>(from[i + v]);
    *reinterpret_cast<Packet<T, kStep>*>(to + i) = packet;
  }
}

// A packet of a row whose dtype is known at run time; all threads of a block take the same branch.
template <int kVec>
__device__ inline void load(const Rows& rows, int64_t offset, float (&to)[kVec]) {
  switch (rows.dtype) {
    case Dtype::kFloat:
      return load<kVec>(static_cast<const float*>(rows.data) + offset, to);
    case Dtype::kHalf:
      return load<kVec>(static_cast<const __half*>(rows.data) + offset, to);
    case Dtype::kBFloat16:
      return load<kVec>(static_cast<const __nv_bfloat16*>(rows.data) + offset, to);
  }
}

// Whether every row that can be reached from `data` by these strides starts on 16 bytes.
inline bool is_aligned(const void* data, int64_t element_size, int64_t stride_a = 0,
                       int64_t stride_b = 0, int64_t stride_c = 0) {
  const int64_t bits = static_cast<int64_t>(reinterpret_cast<uintptr_t>(data)) |
                       (stride_a * element_size) | (stride_b * element_size) |
                       (stride_c * element_size);
  return bits % 16 == 0;
}

template <typename T>
bool is_aligned(const Tokens<T>& t) {
  return is_aligned(t.data, sizeof(T), t.batch_stride, t.token_stride);
}

template <typename T>
bool is_aligned(const Factors<T>& f) {
  return is_aligned(f.data, sizeof(T), f.order_stride, f.batch_stride, f.token_stride);
}

inline bool is_aligned(const Rows& rows) {
  const int64_t size = rows.dtype == Dtype::kFloat ? 4 : 2;
  return is_aligned(rows.data, size, rows.batch_stride, rows.token_stride);
}

}  // namespace clusca
