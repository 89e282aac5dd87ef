// CPU kernel of kmeans_step; the equation is in kmeans_step.h.
#pragma once

#include "kernels/kmeans_assign_cpu.h"
#include "kernels/kmeans_step.h"

namespace clusca {

// First stage for the given batch rows: labels, and the partial sums of every chunk.
template <typename scalar_t, typename Pool>
void assign_and_accumulate(const KmeansStepParams<scalar_t>& p, const std::vector<int64_t>& rows,
                           const Pool& pool) {
  const KmeansAssignParams<scalar_t>& a = p.assign;
  const int64_t chunks = kmeans_chunks(a.N, a.K), length = kmeans_chunk_tokens(a.N, a.K);
  // Of few clusters a tile has several tokens each, to add while they are in cache. Of many it has
  // one or none, and reading the tokens again costs less than reading the sums.
  const int64_t batch = a.K <= kPanel ? kTile : length;
  const auto packed = pack_centroids(a, rows, pool);
  pool(static_cast<int64_t>(rows.size()) * chunks, 1, [&](int64_t begin, int64_t end) {
    TokenTile<scalar_t> tile(a.K, a.D);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = rows[i / chunks], chunk = i % chunks;
      float* sums = p.partial_sums + (b * chunks + chunk) * a.K * a.D;
      int32_t* counts = p.partial_counts + (b * chunks + chunk) * a.K;
      std::fill_n(sums, a.K * a.D, 0.f);
      std::fill_n(counts, a.K, 0);
      const int64_t last = std::min(a.N, (chunk + 1) * length);
      for (int64_t first = chunk * length; first < last; first += batch) {
        const int64_t count = std::min(batch, last - first);
        int32_t* ids = a.cluster_ids + b * a.N + first;
        float* distances = a.distances + b * a.N + first;
        for (int64_t t = 0; t < count; t += kTile) {
          tile.assign(a.metric, a.tokens, a.centroids, packed[i / chunks], b, first + t,
                      static_cast<int>(std::min<int64_t>(kTile, count - t)), false, ids + t,
                      distances + t);
        }
        tile.accumulate(a.tokens, b, first, count, ids, distances, sums, counts);
      }
    }
  });
}

// Second stage for one cluster of one batch row: its chunks' sums and counts, added in order.
template <typename scalar_t>
void add_chunks(const KmeansStepParams<scalar_t>& p, int64_t b, int64_t k, float* sum,
                int32_t* count) {
  const KmeansAssignParams<scalar_t>& a = p.assign;
  const int64_t chunks = kmeans_chunks(a.N, a.K);
  std::fill_n(sum, a.D, 0.f);
  *count = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t cluster = (b * chunks + chunk) * a.K + k;
    const float* partial = p.partial_sums + cluster * a.D;
    if (p.partial_counts[cluster] > 0) add_rows(sum, &partial, 1, a.D);
    *count += p.partial_counts[cluster];
  }
}

template <typename scalar_t, typename Pool>
void launch_kmeans_step(const KmeansStepParams<scalar_t>& p, const Pool& pool) {
  const int64_t K = p.assign.K, D = p.assign.D;
  assign_and_accumulate(p, all_rows(p.assign.B), pool);
  pool(p.assign.B * K, 1 + 4096 / D, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      add_chunks(p, i / K, i % K, p.sums + i * D, p.counts + i);
    }
  });
}

}  // namespace clusca
