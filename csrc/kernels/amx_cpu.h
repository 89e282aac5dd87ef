// Matrix tiles of x86-64 CPUs that have them (AMX): sixteen rows of sixteen float32, or of sixteen
// pairs of bfloat16, and their products, summed in float32.
#pragma once

#include "kernels/simd.h"

#if defined(CLUSCA_HAS_CLONES) && defined(__linux__)
#define CLUSCA_HAS_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace clusca {

constexpr int kTileRows = 16;   // tokens, clusters or pairs of channels
constexpr int kTileDepth = 32;  // channels: two a four-byte lane
constexpr int kTileSize = kTileRows * kTileDepth;

#ifdef CLUSCA_HAS_AMX

// Whether the CPU has tiles and Linux lets this process use them, which must be asked for once, as
// libraries of matrix products do: signal stacks must be larger from then on.
inline bool has_tiles() {
  static const bool has = [] {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    constexpr unsigned kBfloat16 = 1u << 22, kTile = 1u << 24;
    if (!(d & kBfloat16) || !(d & kTile)) return false;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return has;
}

// A thread's eight tiles, of 16 rows of 64 bytes, for as long as this lives.
class Tiles {
 public:
  Tiles() {
    alignas(64) uint8_t config[64] = {};
    config[0] = 1;  // the palette
    for (int i = 0; i < 8; ++i) config[16 + 2 * i] = 64, config[48 + i] = kTileRows;
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;

  template <int kInto>
  static CLUSCA_INLINE void clear() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kInto));
  }
  template <int kInto>
  static CLUSCA_INLINE void load(const void* from, int64_t row_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row_bytes), "i"(kInto)
                 : "memory");
  }
  template <int kFrom>
  static CLUSCA_INLINE void store(void* to, int64_t row_bytes) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row_bytes), "i"(kFrom) : "memory");
  }
  // into[r, k] += sum over pairs of rows[r, pair] * columns[pair, k]
  template <int kInto, int kRows, int kColumns>
  static CLUSCA_INLINE void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kInto), "i"(kRows), "i"(kColumns));
  }
};

#else

inline bool has_tiles() { return false; }

#endif

}  // namespace clusca
