// What the CPU kernels of both selections share: the best candidate of every cluster.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/candidates.h"

namespace clusca {

template <typename Candidates, typename Params, typename Pool>
void select_members(const Params& p, const Pool& pool) {
  pool(p.B, 1, [&](int64_t begin, int64_t end) {
    std::vector<uint64_t> best(p.K);
    for (int64_t b = begin; b < end; ++b) {
      std::fill(best.begin(), best.end(), 0);
      const Candidates candidates(p, b);
      const int32_t* ids = p.cluster_ids.row(b);
      for (int64_t n = 0; n < p.N; ++n) {
        const int64_t k = ids[n];
        if (k >= 0 && k < p.K) best[k] = std::max(best[k], candidates.at(n));
      }
      std::transform(best.begin(), best.end(), p.representatives + b * p.K, chosen_token);
    }
  });
}

}  // namespace clusca
