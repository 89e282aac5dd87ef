// Lists of many modules' factors and gates, as the ops that take a segment at once have them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ops/check.h"

namespace clusca {

using Tensors = std::vector<Tensor>;
using Gates = std::vector<std::optional<Tensor>>;

// How the message of a check begins for item m of a list.
inline std::string item(const char* name, size_t m) {
  return std::string(name) + "[" + std::to_string(m) + "]";
}

// Factors of every module [O + 1, B, N, D], of one dtype and of the same strides; a gate for each.
inline void check_modules(const Check& check, const Tensors& all, const Gates& gates, int64_t B,
                          int64_t N, int64_t D) {
  check.require(!all.empty(), "factors must be a list of at least one tensor, got none");
  check.require(gates.size() == all.size(), "gates must be ", all.size(), " as factors, got ",
                gates.size());
  const Tensor& first = all[0];
  for (size_t m = 0; m < all.size(); ++m) {
    const Tensor& factors = all[m];
    const std::string name = item("factors", m);
    const int64_t orders = factors.dim() == 4 ? factors.size(0) : 0;
    check.require(orders >= 1 && orders <= Weights::kMaxFactors, name,
                  " must be [O + 1, B, N, D] with 1 to ", Weights::kMaxFactors,
                  " orders, got shape ", shape_of(factors));
    check.floating(factors, name.c_str(), {first.size(0), B, N, D});
    const auto strides = factors.strides(), expected = first.strides();
    bool alike = factors.scalar_type() == first.scalar_type();
    for (int64_t i = 0; i < factors.dim(); ++i) {
      alike = alike && (factors.size(i) <= 1 || strides[i] == expected[i]);
    }
    check.require(alike, name, " must be of the dtype and strides of factors[0], ",
                  dtype_name(first.scalar_type()), " ", Shape{expected.data(), expected.size()},
                  ", got ", dtype_name(factors.scalar_type()), " ",
                  Shape{strides.data(), strides.size()});
  }
}

}  // namespace clusca
