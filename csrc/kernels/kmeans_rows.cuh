// What a warp of kmeans_assign works on: rows of 32 channels, float32 in shared memory.
#pragma once

#include <type_traits>

#include "kernels/vec.cuh"

namespace clusca {

constexpr int kWarp = 32;
constexpr int kDepth = 32;  // channels of a row
constexpr int kGroup = 4;   // channels read at once: 128 bits

// Where a group of a row lies. Groups of a row are permuted, so that kKeys rows in succession have
// a group in different banks.
template <int kKeys>
__device__ inline int place(int row, int group) {
  return row * kDepth + (group / kKeys * kKeys + (group % kKeys ^ row % kKeys)) * kGroup;
}

// kRows rows on their way from global to shared memory: a warp loads them, packets wait in
// registers while it computes with the rows before, then it stores them.
template <typename T, int kRows, int kKeys, int kVec>
class RowsInFlight {
 public:
  // Rows first .. first + kRows - 1 of batch row b. There are `rows`: beyond them others are loaded
  // again, for nobody.
  __device__ void point_to(const Tokens<const T>& from, int64_t b, int first, int rows) {
    const int row = first + own_row();
    own_ = from.row(b, row < rows ? row : rows - 1) + own_channel();
    step_ = static_cast<Step>(kStep * from.token_stride);
    left_ = rows - row;
  }

  // Channels depth .. depth + 31. With kTail D may be less: packets beyond it are copies of the
  // last.
  template <bool kTail>
  __device__ void load(int depth, int D) {
    const int last = D - kVec - own_channel();
    const T* from = own_ + (kTail && depth > last ? last : depth);
#pragma unroll
    for (int i = 0; i < kPackets; ++i) {
      packets_[i] = *reinterpret_cast<const Bits*>(from);
      from += (i + 1) * kStep < left_ ? step_ : 0;
    }
  }

  // The same channels as float32; with kTail zero beyond D.
  template <bool kTail>
  __device__ void store(float* tile, int depth, int D) const {
    constexpr int kPart = kVec < kGroup ? kVec : kGroup;
    const bool inside = !kTail || depth + own_channel() < D;
#pragma unroll
    for (int i = 0; i < kPackets; ++i) {
      float value[kVec];
      unpack<T>(packets_[i], value);
#pragma unroll
      for (int v = 0; v < kVec; v += kPart) {
        const int d = own_channel() + v;
        float part[kPart];
#pragma unroll
        for (int j = 0; j < kPart; ++j) part[j] = inside ? value[v + j] : 0.f;
        const int at = place<kKeys>(own_row() + i * kStep, d / kGroup) + d % kGroup;
        clusca::store<kPart>(tile + at, part);
      }
    }
  }

 private:
  static constexpr int kLanes = kDepth / kVec;  // that share a row
  static constexpr int kStep = kWarp / kLanes;  // rows a warp loads at once
  static constexpr int kPackets = kRows / kStep;
  // Words, lest a compiler keeps every half in a register of its own.
  using Bits = std::conditional_t<kVec == 1, Packet<T, 1>, Packet<uint32_t, 4>>;

  __device__ static int own_row() { return threadIdx.x % kWarp / kLanes; }
  __device__ static int own_channel() { return threadIdx.x % kLanes * kVec; }

  // Registers are few: a launcher takes packets only if a step of theirs fits.
  using Step = std::conditional_t<kVec == 1, int64_t, uint32_t>;

  const T* own_;
  Step step_;
  int left_;
  Bits packets_[kPackets];
};

}  // namespace clusca
