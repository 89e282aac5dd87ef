// 128-bit packets: the widest load and store a thread can issue, as float32 values.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>
#include <type_traits>

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

template <typename To, typename From>
__device__ inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// Values of T in words. Of bfloat16 a float's upper half is all there is.
template <typename T, int kWords, int kVec>
__device__ inline void unpack(const Packet<uint32_t, kWords>& words, float (&to)[kVec]) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
#pragma unroll
    for (int i = 0; i < kVec; i += 2) {
      to[i] = bits_as<float>(words.data[i / 2] << 16);
      to[i + 1] = bits_as<float>(words.data[i / 2] & 0xffff0000u);
    }
  } else {
    const auto packet = bits_as<Packet<T, kVec>>(words);
#pragma unroll
    for (int i = 0; i < kVec; ++i) to[i] = to_float(packet.data[i]);
  }
}

template <typename T>
__device__ inline void unpack(const Packet<T, 1>& packet, float (&to)[1]) {
  to[0] = to_float(packet.data[0]);
}

// kVec elements on their way from memory: a thread only waits for them when it unpacks them, so
// that loads begun one after the other are in flight together. Words, lest a compiler keeps every
// half in a register of its own.
template <int kVec, typename T>
class InFlight {
 public:
  __device__ void load(const T* from) {
#pragma unroll
    for (int i = 0; i < kPackets; ++i) {
      packets_[i] = *reinterpret_cast<const Bits*>(from + i * kStep);
    }
  }

  __device__ void unpack(float (&to)[kVec]) const {
#pragma unroll
    for (int i = 0; i < kPackets; ++i) {
      float part[kStep];
      clusca::unpack<T>(packets_[i], part);
#pragma unroll
      for (int v = 0; v < kStep; ++v) to[i * kStep + v] = part[v];
    }
  }

 private:
  static constexpr int kStep = kVec < kPacketSize<T> ? kVec : kPacketSize<T>;
  static constexpr int kPackets = kVec / kStep;
  using Bits = std::conditional_t<kVec == 1, Packet<T, 1>, Packet<uint32_t, kStep * sizeof(T) / 4>>;

  Bits packets_[kPackets];
};

// Loaded and converted at once, by elements: kernels with many sums have no registers for words.
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

// As InFlight, of a row whose dtype is known at run time; all threads of a block take the same
// branch.
template <int kVec>
class RowInFlight {
 public:
  __device__ void load(const Rows& rows, int64_t offset) {
    if (rows.dtype == Dtype::kFloat) {
      load_words<kVec>(static_cast<const uint32_t*>(rows.data) + offset);
    } else if constexpr (kVec == 1) {
      words_.data[0] = static_cast<const uint16_t*>(rows.data)[offset];
    } else {
      load_words<kVec / 2>(static_cast<const uint16_t*>(rows.data) + offset);
    }
  }

  __device__ void unpack(Dtype dtype, float (&to)[kVec]) const {
    if (dtype == Dtype::kFloat) {
      const auto values = bits_as<Packet<float, kVec>>(words_);
#pragma unroll
      for (int v = 0; v < kVec; ++v) to[v] = values.data[v];
    } else if (dtype == Dtype::kHalf) {
      unpack_halves<__half>(to);
    } else {
      unpack_halves<__nv_bfloat16>(to);
    }
  }

 private:
  template <int kWords, typename T>
  __device__ void load_words(const T* from) {
    constexpr int kStep = kWords < 4 ? kWords : 4;
#pragma unroll
    for (int i = 0; i < kWords; i += kStep) {
      const auto packet =
          *reinterpret_cast<const Packet<uint32_t, kStep>*>(from + i * (4 / sizeof(T)));
#pragma unroll
      for (int j = 0; j < kStep; ++j) words_.data[i + j] = packet.data[j];
    }
  }

  template <typename T>
  __device__ void unpack_halves(float (&to)[kVec]) const {
    if constexpr (kVec == 1) {
      to[0] = to_float(bits_as<T>(static_cast<uint16_t>(words_.data[0])));
    } else {
      Packet<uint32_t, kVec / 2> words;
#pragma unroll
      for (int i = 0; i < kVec / 2; ++i) words.data[i] = words_.data[i];
      clusca::unpack<T>(words, to);
    }
  }

  struct {
    uint32_t data[kVec];
  } words_;  // halves fill the first of them
};

// The same of an argument that may not have been given: `absent` then.
template <int kVec>
class OptionalRowInFlight {
 public:
  __device__ OptionalRowInFlight(const Rows& rows, int64_t offset, float absent)
      : exists_(rows.data != nullptr), dtype_(rows.dtype), absent_(absent) {
    if (exists_) packet_.load(rows, offset);
  }

  __device__ void unpack(float (&to)[kVec]) const {
    if (exists_) return packet_.unpack(dtype_, to);
#pragma unroll
    for (int v = 0; v < kVec; ++v) to[v] = absent_;
  }

 private:
  const bool exists_;
  const Dtype dtype_;
  const float absent_;
  RowInFlight<kVec> packet_;
};

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
bool is_aligned(const Stack<T>& s) {
  return is_aligned(s.data, sizeof(T), s.stride, s.batch_stride, s.token_stride);
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
