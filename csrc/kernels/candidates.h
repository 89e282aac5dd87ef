// How selections order tokens: one 64-bit word a token, so that a maximum over words is a choice.
#pragma once

#include "kernels/random.h"
#include "kernels/select_nearest.h"
#include "kernels/select_representatives.h"

namespace clusca {

// A candidate is (rank, ~token): the highest rank wins, among equals the lowest token. 0: nobody.
CLUSCA_HD inline uint64_t candidate(uint32_t rank, int64_t token) {
  return (static_cast<uint64_t>(rank) << 32) | (0xffffffffu - static_cast<uint32_t>(token));
}

CLUSCA_HD inline int32_t chosen_token(uint64_t candidate) {
  return candidate ? static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(candidate)) : -1;
}

// Rank of a distance: the closer, the higher. The bits of a float, its sign handled, order as it
// does; adding 0 makes -0 the 0 that it equals.
CLUSCA_HD inline uint32_t closeness(float distance) {
  union {
    float value;
    uint32_t bits;
  } word = {distance + 0.f};
  const uint32_t ordered = word.bits & 0x80000000u ? ~word.bits : word.bits | 0x80000000u;
  return ~ordered;
}

struct RandomCandidates {
  uint64_t stream;

  CLUSCA_HD RandomCandidates(const SelectRepresentativesParams& p, int64_t b)
      : stream(random_stream(p.seed[b * p.seed_stride], p.seed[b * p.seed_stride + 1], p.layer)) {}

  CLUSCA_HD uint64_t at(int64_t n) const { return candidate(random_key(stream, n), n); }
};

struct NearestCandidates {
  const float* distances;

  CLUSCA_HD NearestCandidates(const SelectNearestParams& p, int64_t b)
      : distances(p.distances + b * p.distances_stride) {}

  CLUSCA_HD uint64_t at(int64_t n) const {
    const float distance = distances[n];
    const bool finite = distance - distance == 0.f;
    return finite ? candidate(closeness(distance), n) : 0;
  }
};

}  // namespace clusca
