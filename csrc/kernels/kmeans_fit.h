// kmeans_fit: Lloyd's algorithm from given centroids, each batch row until it has converged.
//
//   repeat at most max_iters times:
//     sums, counts  = kmeans_step(tokens, centroids)
//     centroids[k]  = sums[k] / counts[k]            an empty cluster keeps its centroid
//     stop if max |new - old| <= rtol * max |new|    over finite values: a centroid drawn from a
//                                                    token with NaN or infinity has no say
//   cluster_ids, distances, counts: of the centroids returned
//
// Converged on the device: no value is read by the host, so a fit can be captured in a graph. A
// row's result does not depend on its batch. iterations: centroid updates made.
#pragma once

#include "kernels/kmeans_step.h"

namespace clusca {

template <typename scalar_t>
struct KmeansFitParams {
  KmeansStepParams<scalar_t> step;  // step.assign.centroids: where `centroids` lies
  float* centroids;                 // [B, K, D]  dense; holds the start, becomes the result
  KmeansMove* moves;                // [max_iters + 1, B]  workspace of the CUDA kernels
  int32_t* iterations;              // [B]  dense
  int64_t max_iters;
  float rtol;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename scalar_t>
cudaError_t launch_kmeans_fit(const KmeansFitParams<scalar_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
