// CPU scalars and the attribute that compiles one loop for several x86-64 levels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "kernels/tensors.h"

// x86-64-v3 is AVX2 with FMA, v4 is AVX-512. These are feature tests: a CPU newer than the compiler
// still gets the best clone, which it would not with arch=<cpu name>. Sanitizers and ifuncs do not
// mix, so that build asks for CLUSCA_NO_CLONES.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && \
    !defined(CLUSCA_NO_CLONES)
#define CLUSCA_HAS_CLONES
#define CLUSCA_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLUSCA_CLONES
#endif

// Inlined into a clone, so that it is compiled for the clone's level.
#define CLUSCA_INLINE inline __attribute__((always_inline))

namespace clusca {

struct half_t {
  uint16_t bits;
};
struct bfloat16_t {
  uint16_t bits;
};

CLUSCA_INLINE uint32_t float_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

CLUSCA_INLINE float bits_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

CLUSCA_INLINE float to_float(float value) { return value; }

CLUSCA_INLINE float to_float(bfloat16_t value) {
  return bits_float(static_cast<uint32_t>(value.bits) << 16);
}

// Branch-free, so that loops over it become vector code: both ranges are computed, one is taken.
CLUSCA_INLINE float to_float(half_t value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t magnitude = value.bits & 0x7fffu;
  const uint32_t rebias = 112u << 23;  // exponent bias 15 becomes 127
  const uint32_t infinite = magnitude >= 0x7c00u ? rebias : 0u;
  const uint32_t normal = (magnitude << 13) + rebias + infinite;
  const uint32_t subnormal =
      float_bits(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  return bits_float(sign | (magnitude < 0x0400u ? subnormal : normal));
}

template <typename T>
T from_float(float value);

template <>
CLUSCA_INLINE float from_float<float>(float value) {
  return value;
}

// Round to nearest, ties to even; NaN stays NaN.
template <>
CLUSCA_INLINE bfloat16_t from_float<bfloat16_t>(float value) {
  const uint32_t bits = float_bits(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(nan ? 0x7fc0u : rounded)};
}

// Round to nearest, ties to even. Adding 0.5 lines a subnormal result up with float's last bits,
// so that the addition itself rounds it.
template <>
CLUSCA_INLINE half_t from_float<half_t>(float value) {
  const uint32_t bits = float_bits(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - (112u << 23) + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t subnormal = float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000u;
  uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
  result = magnitude >= 0x47800000u ? 0x7c00u : result;
  result = magnitude > 0x7f800000u ? 0x7e00u : result;
  return {static_cast<uint16_t>(((bits >> 16) & 0x8000u) | result)};
}

// Rows are worked on in blocks, and the next block is asked for before one begins: lines that are
// only written would otherwise be waited for by the stores, one after the other. The last blocks of
// a row ask for what follows it, most often the next row; a prefetch cannot fault.
constexpr int64_t kBlock = 256;

template <typename T>
CLUSCA_INLINE void prefetch_next(const T* block) {
  const char* next = reinterpret_cast<const char*>(block + kBlock);
  for (size_t i = 0; i < kBlock * sizeof(T); i += 64) __builtin_prefetch(next + i);
}

template <typename T>
CLUSCA_INLINE void prefetch_next_to_write(const T* block) {
  const char* next = reinterpret_cast<const char*>(block + kBlock);
  for (size_t i = 0; i < kBlock * sizeof(T); i += 64) __builtin_prefetch(next + i, 1);
}

constexpr size_t kCacheBytes = 8 << 20;  // what a cache might keep until it is read again

// Stores past the caches, for what is not read soon: a line that is only written is not fetched
// first, and pushes nothing out. To be followed by stored_past_caches() before others may read it.
template <typename T>
CLUSCA_INLINE void store_past_caches(const T* from, T* to, int64_t count) {
#ifdef __SSE2__
  constexpr int64_t kPacket = 16 / sizeof(T);
  if (reinterpret_cast<uintptr_t>(to) % 16 == 0) {
    for (; count >= kPacket; count -= kPacket, from += kPacket, to += kPacket) {
      const __m128i packet = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      _mm_stream_si128(reinterpret_cast<__m128i*>(to), packet);
    }
  }
#endif
  std::copy_n(from, count, to);
}

inline void stored_past_caches() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

template <typename T>
CLUSCA_CLONES void convert_row(const T* from, float* to, int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) to[d] = to_float(from[d]);
}

template <typename T>
CLUSCA_CLONES void store_row(const float* from, T* to, int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) to[d] = from_float<T>(from[d]);
}

// Values as floats: in place if they are, else converted into scratch.
inline const float* as_floats(const float* from, float*, int64_t) { return from; }
template <typename T>
const float* as_floats(const T* from, float* scratch, int64_t size) {
  convert_row(from, scratch, size);
  return scratch;
}

// Row (b, n) as floats: in place if it is float32, else converted into scratch [D].
inline const float* float_row(const Rows& rows, int64_t b, int64_t n, float* scratch, int64_t D) {
  const int64_t offset = rows.offset(b, n);
  switch (rows.dtype) {
    case Dtype::kFloat:
      return static_cast<const float*>(rows.data) + offset;
    case Dtype::kHalf:
      convert_row(static_cast<const half_t*>(rows.data) + offset, scratch, D);
      return scratch;
    case Dtype::kBFloat16:
      convert_row(static_cast<const bfloat16_t*>(rows.data) + offset, scratch, D);
      return scratch;
  }
  return nullptr;
}

}  // namespace clusca
