// What the CUDA sources of the matrix kernel share; kmeans_matrix.h says what it computes.
#pragma once

#include "kernels/kmeans.cuh"
#include "kernels/kmeans_matrix.h"

namespace clusca {

template <typename scalar_t>
struct MatrixParams {
  KmeansAssignParams<scalar_t> assign;
  Convergence converged;
  SplitCentroids<scalar_t> split;
};

// Splits the centroids, as it must be done before every assignment.
template <typename scalar_t>
cudaError_t launch_split(const MatrixParams<scalar_t>& p, cudaStream_t stream);

// Labels; a distance is only finite if the true one is.
template <typename scalar_t>
cudaError_t launch_matrix_assign(const KmeansAssignParams<scalar_t>& p, Convergence converged,
                                 cudaStream_t stream);

// The true distances to the labels' centroids, summed term by term.
template <typename scalar_t>
cudaError_t launch_distances(const KmeansAssignParams<scalar_t>& p, cudaStream_t stream);

}  // namespace clusca
