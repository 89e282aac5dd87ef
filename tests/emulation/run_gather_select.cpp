// Selections and the gather on one side; compiled twice.
#include "side.h"

#ifdef CLUSCA_CUDA
#include "kernels/gather_representatives.h"
#include "kernels/select_nearest.h"
#include "kernels/select_representatives.h"
#else
#include "kernels/gather_representatives_cpu.h"
#include "kernels/select_nearest_cpu.h"
#include "kernels/select_representatives_cpu.h"
#endif

namespace SIDE {

void gather_representatives(GatherArguments& a) {
  dispatch(a.tokens.format, [&](auto zero) {
    using T = decltype(zero);
    const clusca::GatherRepresentativesParams<T> p{
        tokens<const T>(a.tokens),
        indices(a.representatives),
        rows(a.shift),
        rows(a.scale),
        rows(a.weight),
        rows(a.bias),
        a.offset ? tokens<const float>(*a.offset) : clusca::Tokens<const float>{},
        a.eps,
        static_cast<clusca::Norm>(a.norm),
        static_cast<T*>(a.rows.data()),
        static_cast<T*>(a.modulated.data()),
        a.B,
        a.N,
        a.K,
        a.D};
    clusca::launch_gather_representatives(p, kQueue);
  });
}

void select_representatives(SelectArguments& a) {
  const clusca::SelectRepresentativesParams p{indices(a.cluster_ids),
                                              static_cast<int64_t*>(a.seed.data()),
                                              a.seed.size(0) > 1 ? a.seed.stride(0) : 0,
                                              a.layer,
                                              static_cast<int32_t*>(a.representatives.data()),
                                              a.B,
                                              a.N,
                                              a.K};
  clusca::launch_select_representatives(p, kQueue);
}

void select_nearest(SelectArguments& a) {
  const clusca::SelectNearestParams p{indices(a.cluster_ids),
                                      static_cast<float*>(a.distances.data()),
                                      a.distances.stride(0),
                                      static_cast<int32_t*>(a.representatives.data()),
                                      a.B,
                                      a.N,
                                      a.K};
  clusca::launch_select_nearest(p, kQueue);
}

}  // namespace SIDE
