// Stands for csrc/kernels/thread_block_cluster.cuh, whose PTX a CPU does not have.
#pragma once

#include <cuda_runtime.h>

namespace clusca {

inline int cluster_rank() { return emulation::rank_in_cluster(); }

inline void cluster_barrier() { emulation::cluster_barrier("a barrier of the cluster"); }

template <typename T>
T* in_block(T* own, int rank) {
  return static_cast<T*>(emulation::in_block(own, rank));
}

}  // namespace clusca
