// CPU kernel of kmeans_assign; the equation is in kmeans_assign.h.
#pragma once

#include "kernels/kmeans_assign.h"
#include "kernels/kmeans_tile_cpu.h"

namespace clusca {

// The centroids of `rows` batch rows, packed by all threads.
template <typename scalar_t, typename Pool>
std::vector<PackedCentroids> pack_centroids(const KmeansAssignParams<scalar_t>& p,
                                            const std::vector<int64_t>& rows, const Pool& pool) {
  const bool in_tiles = p.kernel == Kernel::kMatrix;
  std::vector<PackedCentroids> packed(rows.size(), PackedCentroids(p.K, p.D, in_tiles));
  const int64_t panels = (p.K + kPanel - 1) / kPanel, count = rows.size() * panels;
  pool(count, 1 + 4096 / (kPanel * p.D), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      packed[i / panels].pack(p.metric, p.centroids, rows[i / panels], i % panels, p.K);
    }
  });
  return packed;
}

inline std::vector<int64_t> all_rows(int64_t B) {
  std::vector<int64_t> rows(B);
  for (int64_t b = 0; b < B; ++b) rows[b] = b;
  return rows;
}

template <typename scalar_t, typename Pool>
void launch_kmeans_assign(const KmeansAssignParams<scalar_t>& p, const Pool& pool) {
  const int64_t tiles = (p.N + kTile - 1) / kTile;
  if (tiles == 0) return;
  const auto packed = pack_centroids(p, all_rows(p.B), pool);
  pool(p.B * tiles, 1, [&](int64_t begin, int64_t end) {
    TokenTile<scalar_t> tile(p.K, p.D);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / tiles, first = i % tiles * kTile;
      const int count = static_cast<int>(std::min<int64_t>(kTile, p.N - first));
      tile.assign(p.metric, p.tokens, p.centroids, packed[b], b, first, count, true,
                  p.cluster_ids + b * p.N + first, p.distances + b * p.N + first);
    }
  });
}

}  // namespace clusca
