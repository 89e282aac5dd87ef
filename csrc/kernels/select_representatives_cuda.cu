// CUDA kernel of select_representatives; the equation is in select_representatives.h.
#include "kernels/select.cuh"

namespace clusca {

cudaError_t launch_select_representatives(const SelectRepresentativesParams& p,
                                          cudaStream_t stream) {
  return launch(select_kernel<RandomCandidates, SelectRepresentativesParams>, p.B,
                dim3(kSelectThreads), stream, p);
}

}  // namespace clusca
