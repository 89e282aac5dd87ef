// CPU kernel of select_nearest; the equation is in select_nearest.h.
#pragma once

#include "kernels/select_cpu.h"

namespace clusca {

template <typename Pool>
void launch_select_nearest(const SelectNearestParams& p, const Pool& pool) {
  select_members<NearestCandidates>(p, pool);
}

}  // namespace clusca
