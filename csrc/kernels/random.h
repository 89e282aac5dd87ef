// Counter-based random keys: the same for a sample alone or in a batch, on CPU and CUDA, and on
// replay of a graph. A key depends on (sample seed, counter, layer, token) and nothing else.
#pragma once

#include "kernels/tensors.h"

namespace clusca {

// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection of 64-bit words.
CLUSCA_HD inline uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;

CLUSCA_HD inline uint64_t random_stream(int64_t sample_seed, int64_t counter, int64_t layer) {
  uint64_t stream = mix(static_cast<uint64_t>(sample_seed) + kGolden);
  stream = mix(stream + static_cast<uint64_t>(counter) + kGolden);
  return mix(stream + static_cast<uint64_t>(layer) + kGolden);
}

CLUSCA_HD inline uint32_t random_key(uint64_t stream, int64_t token) {
  return static_cast<uint32_t>(mix(stream + static_cast<uint64_t>(token) * kGolden) >> 32);
}

}  // namespace clusca
