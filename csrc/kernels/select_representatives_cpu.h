// CPU kernel of select_representatives; the equation is in select_representatives.h.
#pragma once

#include "kernels/select_cpu.h"

namespace clusca {

template <typename Pool>
void launch_select_representatives(const SelectRepresentativesParams& p, const Pool& pool) {
  select_members<RandomCandidates>(p, pool);
}

}  // namespace clusca
