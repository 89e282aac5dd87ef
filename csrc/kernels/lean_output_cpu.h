// CPU kernel of lean_output; the equation is in lean_output.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/lean_output.h"
#include "kernels/norm_row_cpu.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

constexpr int kSumsTogether = 4;  // that a loop takes side by side; more take several loops

template <typename s_t>
struct SumsInput {
  const s_t* rows[kSumsTogether];
  const float* weights[kSumsTogether];  // one number each, or [D]
  int count;
  const float* learnt;  // [D]
  float share;
};

// out <- x + sum_i weights_i * rows_i + share * learnt, of kCount sums.
template <int kCount, bool kByChannel, typename x_t, typename s_t, typename out_t>
CLUSCA_CLONES void sum_row_of(const x_t* x, const SumsInput<s_t>& in, out_t* out, int64_t D) {
  const s_t* rows[kSumsTogether];
  const float* weights[kSumsTogether];
  float numbers[kSumsTogether];
  for (int i = 0; i < kCount; ++i) {
    rows[i] = in.rows[i], weights[i] = in.weights[i], numbers[i] = *in.weights[i];
  }
  const float* learnt = in.learnt;
  const float share = in.share;
  for (int64_t first = 0; first < D; first += kBlock) {
    const int64_t last = std::min(first + kBlock, D);
    prefetch_next(x + first);
    prefetch_next_to_write(out + first);
    for (int i = 0; i < kCount; ++i) prefetch_next(rows[i] + first);
#pragma GCC ivdep
    for (int64_t d = first; d < last; ++d) {
      float y = to_float(x[d]) + share * learnt[d];
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        y += (kByChannel ? weights[i][d] : numbers[i]) * to_float(rows[i][d]);
      }
      out[d] = from_float<out_t>(y);
    }
  }
}

template <bool kByChannel, typename x_t, typename s_t, typename out_t>
void sum_row(const x_t* x, const SumsInput<s_t>& in, out_t* out, int64_t D) {
  switch (in.count) {
    case 0:
      return sum_row_of<0, false>(x, in, out, D);
    case 1:
      return sum_row_of<1, kByChannel>(x, in, out, D);
    case 2:
      return sum_row_of<2, kByChannel>(x, in, out, D);
    case 3:
      return sum_row_of<3, kByChannel>(x, in, out, D);
    default:
      return sum_row_of<4, kByChannel>(x, in, out, D);
  }
}

// What a task holds: a row, what its batch row is modulated by, and which sums that reads.
template <typename x_t, typename s_t>
class LeanRows {
 public:
  LeanRows(const LeanOutputParams<x_t, s_t>& p, bool past_caches)
      : p_(p),
        past_caches_(past_caches),
        out_(past_caches ? p.D : 0),
        row_(p.D),
        scratch_(p.D),
        zeros_(p.D),
        modulation_(p.follows() ? p.D : 0, p.weight, p.bias, p.scale, p.shift) {}

  void write(int64_t b, int64_t n) {
    if (!past_caches_) return write_to(p_.out_row(b, n), b, n);
    write_to(out_.data(), b, n);
    store_past_caches(out_.data(), p_.out_row(b, n), p_.D);
  }

 private:
  void write_to(x_t* out, int64_t b, int64_t n) {
    choose(b);
    const x_t* x = p_.x.row(b, n);
    const int64_t k = p_.clusters.computed.data ? p_.clusters.cluster(b, n, p_.N) : -1;
    SumsInput<s_t> in = input(b, n, 0);
    if (k >= 0) {
      in.learnt = float_row(p_.clusters.computed, b, k, scratch_.data(), p_.D);
      in.share = p_.clusters.share(b, n, k);
    }
    const size_t count = chosen_.size();
    if (count <= kSumsTogether && !p_.follows()) return add(x, in, out);
    add(x, in, row_.data());
    for (size_t i = kSumsTogether; i < count; i += kSumsTogether) {
      add(row_.data(), input(b, n, i), row_.data());
    }
    if (!p_.follows()) return store_row(row_.data(), out, p_.D);
    modulation_.apply(p_.norm, p_.eps, b, n, row_.data(), out);
  }

  void choose(int64_t b) {
    if (b == held_) return;
    held_ = b;
    chosen_.clear();
    for (int64_t j = 0; j < p_.J; ++j) {
      if (p_.weights.by_channel || *p_.weights.at(j, b) != 0.f) chosen_.push_back(j);
    }
  }

  // From the one that was chosen as i-th on; nothing is learnt.
  SumsInput<s_t> input(int64_t b, int64_t n, size_t i) const {
    SumsInput<s_t> in{};
    in.learnt = zeros_.data();
    for (; i < chosen_.size() && in.count < kSumsTogether; ++i) {
      in.weights[in.count] = p_.weights.at(chosen_[i], b);
      in.rows[in.count++] = p_.sums.row(chosen_[i], b, n);
    }
    return in;
  }

  template <typename from_t, typename to_t>
  void add(const from_t* from, const SumsInput<s_t>& in, to_t* to) const {
    p_.weights.by_channel ? sum_row<true>(from, in, to, p_.D) : sum_row<false>(from, in, to, p_.D);
  }

  const LeanOutputParams<x_t, s_t>& p_;
  const bool past_caches_;
  std::vector<x_t> out_;
  std::vector<float> row_, scratch_, zeros_;
  ModulationRows modulation_;
  std::vector<int64_t> chosen_;
  int64_t held_ = -1;
};

template <typename x_t, typename s_t, typename Pool>
void launch_lean_output(const LeanOutputParams<x_t, s_t>& p, const Pool& pool) {
  const bool past_caches = p.B * p.N * p.D * sizeof(x_t) > kCacheBytes;
  pool(p.B * p.N, grain_rows(p.D), [&](int64_t begin, int64_t end) {
    LeanRows<x_t, s_t> rows(p, past_caches);
    for (int64_t row = begin; row < end; ++row) rows.write(row / p.N, row % p.N);
    if (past_caches) stored_past_caches();
  });
}

}  // namespace clusca
