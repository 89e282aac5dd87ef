// CUDA kernel of select_nearest; the equation is in select_nearest.h.
#include "kernels/select.cuh"

namespace clusca {

cudaError_t launch_select_nearest(const SelectNearestParams& p, cudaStream_t stream) {
  return launch(select_kernel<NearestCandidates, SelectNearestParams>, p.B, dim3(kSelectThreads),
                stream, p);
}

}  // namespace clusca
