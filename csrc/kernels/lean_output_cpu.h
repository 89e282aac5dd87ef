// CPU kernel of lean_output; the equation is in lean_output.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/lean_output.h"
#include "kernels/norm_row_cpu.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

// What a task holds: sums of a few tokens, the norm's rows, and which sums a batch row reads.
template <typename x_t, typename s_t>
class LeanRows {
 public:
  LeanRows(const LeanOutputParams<x_t, s_t>& p, int64_t at_once)
      : p_(p),
        sums_(at_once * p.D),
        scratch_(p.D),
        ones_(p.D, 1.f),
        weight_(p.weight, p.D),
        bias_(p.bias, p.D),
        scale_(p.scale, p.D, 0.f),
        shift_(p.shift, p.D, 0.f) {}

  // Tokens n to n + count of batch row b.
  void write(int64_t b, int64_t n, int64_t count) {
    choose(b);
    for (int64_t i = 0; i < count; ++i) convert_row(p_.x.row(b, n + i), row(i), p_.D);
    for (size_t first = 0; first < chosen_.size(); first += kTogether) {
      const size_t last = std::min(first + kTogether, chosen_.size());
      for (int64_t i = 0; i < count; ++i) add_sums(row(i), b, n + i, first, last);
    }
    for (int64_t i = 0; i < count; ++i) finish(row(i), b, n + i);
  }

 private:
  static constexpr size_t kTogether = 5;  // as many as write_row goes through side by side

  float* row(int64_t i) { return sums_.data() + i * p_.D; }

  void choose(int64_t b) {
    if (b == held_) return;
    held_ = b;
    chosen_.clear();
    for (int64_t j = 0; j < p_.J; ++j) {
      if (p_.weights.by_channel || *p_.weights.at(j, b) != 0.f) chosen_.push_back(j);
    }
  }

  void add_sums(float* sum, int64_t b, int64_t n, size_t first, size_t last) {
    RowInput<s_t> in{};
    in.keep = 1.f, in.gate = ones_.data();
    for (size_t i = first; i < last; ++i) {
      in.factors[in.count] = p_.sums.row(chosen_[i], b, n);
      const float* weight = p_.weights.at(chosen_[i], b);
      if (!p_.weights.by_channel) {
        in.weights[in.count++] = *weight;
        continue;
      }
      in.count = 1, in.weights[0] = 1.f, in.gate = weight;
      write_row<Into::kAdd>(sum, in, p_.D);
      in.count = 0;
    }
    if (in.count > 0) write_row<Into::kAdd>(sum, in, p_.D);
  }

  void finish(float* sum, int64_t b, int64_t n) {
    const int64_t k = p_.clusters.computed.data ? p_.clusters.cluster(b, n, p_.N) : -1;
    if (k >= 0) {
      const float* learnt = float_row(p_.clusters.computed, b, k, scratch_.data(), p_.D);
      scaled_row<true>(sum, p_.clusters.share(b, n, k), learnt, p_.D);
    }
    if (!p_.follows()) return store_row(sum, p_.out_row(b, n), p_.D);
    const float* weight = p_.weight.data ? weight_.row(0, 0) : nullptr;
    const float* bias = p_.bias.data ? bias_.row(0, 0) : nullptr;
    norm_row(sum, p_.norm, p_.eps, weight, bias, p_.D);
    modulate(p_.out_row(b, n), sum, scale_.row(b, n), shift_.row(b, n), p_.D);
  }

  const LeanOutputParams<x_t, s_t>& p_;
  std::vector<float> sums_, scratch_, ones_;
  GateRows weight_, bias_, scale_, shift_;
  std::vector<int64_t> chosen_;
  int64_t held_ = -1;
};

template <typename x_t, typename s_t, typename Pool>
void launch_lean_output(const LeanOutputParams<x_t, s_t>& p, const Pool& pool) {
  const int64_t at_once = 1 + 16384 / p.D;
  pool(p.B * p.N, std::max(at_once, grain_rows(p.D)), [&](int64_t begin, int64_t end) {
    LeanRows<x_t, s_t> rows(p, at_once);
    for (int64_t row = begin, count; row < end; row += count) {
      const int64_t b = row / p.N, n = row % p.N;
      count = std::min({at_once, end - row, p.N - n});
      rows.write(b, n, count);
    }
  });
}

}  // namespace clusca
