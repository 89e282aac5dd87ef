// The k-means ops on one side; compiled twice.
#include "side.h"

#include "kernels/kmeans_matrix.h"

#ifdef CLUSCA_CUDA
#include "kernels/kmeans_fit.h"
#else
#include "kernels/kmeans_fit_cpu.h"
#endif

namespace SIDE {
namespace {

#ifdef CLUSCA_CUDA
constexpr bool kIsCuda = true;
#else
constexpr bool kIsCuda = false;
#endif

template <typename T>
clusca::KmeansAssignParams<T> assign_of(KmeansArguments& a) {
  return {tokens<const T>(a.tokens),
          tokens<const float>(a.centroids),
          static_cast<int32_t*>(a.cluster_ids.data()),
          static_cast<float*>(a.distances.data()),
          a.l1 ? clusca::Metric::kL1 : clusca::Metric::kL2,
          static_cast<clusca::Kernel>(kIsCuda ? a.kernel : kVectorKernel),
          a.workspace.data(),
          a.B,
          a.N,
          a.K,
          a.D};
}

template <typename T>
clusca::KmeansStepParams<T> step_of(KmeansArguments& a) {
  return {assign_of<T>(a), static_cast<float*>(a.partial_sums.data()),
          static_cast<int32_t*>(a.partial_counts.data()), static_cast<float*>(a.sums.data()),
          static_cast<int32_t*>(a.counts.data())};
}

}  // namespace

int64_t chunks_of(int64_t N, int64_t K) { return clusca::kmeans_chunks(N, K); }

int64_t workspace_of(int64_t B, int64_t K, int64_t D) { return clusca::matrix_workspace(B, K, D); }

void kmeans_assign(KmeansArguments& a) {
  dispatch(a.tokens.format,
           [&](auto zero) { clusca::launch_kmeans_assign(assign_of<decltype(zero)>(a), kQueue); });
}

void kmeans_step(KmeansArguments& a) {
  dispatch(a.tokens.format,
           [&](auto zero) { clusca::launch_kmeans_step(step_of<decltype(zero)>(a), kQueue); });
}

void kmeans_fit(KmeansArguments& a) {
  dispatch(a.tokens.format, [&](auto zero) {
    using T = decltype(zero);
    const clusca::KmeansFitParams<T> p{step_of<T>(a),
                                       static_cast<float*>(a.centroids.data()),
                                       static_cast<clusca::KmeansMove*>(a.moves.data()),
                                       static_cast<int32_t*>(a.iterations.data()),
                                       a.max_iters,
                                       a.rtol};
    clusca::launch_kmeans_fit(p, kQueue);
  });
}

}  // namespace SIDE
