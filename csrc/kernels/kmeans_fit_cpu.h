// CPU kernel of kmeans_fit; the algorithm is in kmeans_fit.h.
#pragma once

#include <cmath>

#include "kernels/kmeans_fit.h"
#include "kernels/kmeans_step_cpu.h"

namespace clusca {

// centroid <- sum / count. Returns how far it moved and how large it is now.
CLUSCA_CLONES inline KmeansMove move_centroid(float* centroid, const float* sum, int32_t count,
                                              int64_t D) {
  KmeansMove move{0.f, 0.f};
  const float size = static_cast<float>(count);
  for (int64_t d = 0; d < D; ++d) {
    const float now = sum[d] / size;
    const bool finite = now - now == 0.f;
    move.change = std::fmax(move.change, finite ? std::fabs(now - centroid[d]) : 0.f);
    move.largest = std::fmax(move.largest, finite ? std::fabs(now) : 0.f);
    centroid[d] = now;
  }
  return move;
}

// One iteration's update of the given batch rows; returns those that have not converged.
template <typename scalar_t, typename Pool>
std::vector<int64_t> update_centroids(const KmeansFitParams<scalar_t>& p,
                                      const std::vector<int64_t>& rows, const Pool& pool) {
  const int64_t K = p.step.assign.K, D = p.step.assign.D;
  const int64_t clusters = static_cast<int64_t>(rows.size()) * K;
  std::vector<KmeansMove> moves(clusters);
  pool(clusters, 1 + 4096 / D, [&](int64_t begin, int64_t end) {
    std::vector<float> sum(D);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = rows[i / K], k = i % K;
      int32_t count = 0;
      add_chunks(p.step, b, k, sum.data(), &count);
      float* centroid = p.centroids + (b * K + k) * D;
      if (count == 0) std::copy_n(centroid, D, sum.data()), count = 1;  // it stays where it is
      moves[i] = move_centroid(centroid, sum.data(), count, D);
    }
  });
  std::vector<int64_t> moving;
  for (size_t i = 0; i < rows.size(); ++i) {
    KmeansMove move{0.f, 0.f};
    for (int64_t k = 0; k < K; ++k) {
      move.change = std::fmax(move.change, moves[i * K + k].change);
      move.largest = std::fmax(move.largest, moves[i * K + k].largest);
    }
    ++p.iterations[rows[i]];
    if (move.change > p.rtol * move.largest) moving.push_back(rows[i]);
  }
  return moving;
}

template <typename scalar_t, typename Pool>
void launch_kmeans_fit(const KmeansFitParams<scalar_t>& p, const Pool& pool) {
  const KmeansAssignParams<scalar_t>& a = p.step.assign;
  std::fill_n(p.iterations, a.B, 0);
  std::vector<int64_t> rows = all_rows(a.B);
  for (int64_t i = 0; i < p.max_iters && !rows.empty(); ++i) {
    assign_and_accumulate(p.step, rows, pool);
    rows = update_centroids(p, rows, pool);
  }
  launch_kmeans_assign(a, pool);
  std::fill_n(p.step.counts, a.B * a.K, 0);
  for (int64_t i = 0; i < a.B * a.N; ++i) {
    const bool is_in = a.distances[i] - a.distances[i] == 0.f;
    p.step.counts[i / a.N * a.K + a.cluster_ids[i]] += is_in;
  }
}

}  // namespace clusca
