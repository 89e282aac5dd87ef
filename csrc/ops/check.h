// Argument checks. A failure is one sentence that names the op, the argument, the demand and what
// came; the Python wrappers turn those that start with "clusca::" into ValueError.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace clusca {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline bool is_floating(ScalarType dtype) {
  return dtype == ScalarType::Float || dtype == ScalarType::Half || dtype == ScalarType::BFloat16;
}

inline const char* dtype_name(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float:
      return "float32";
    case ScalarType::Half:
      return "float16";
    case ScalarType::BFloat16:
      return "bfloat16";
    case ScalarType::Double:
      return "float64";
    case ScalarType::Int:
      return "int32";
    case ScalarType::Long:
      return "int64";
    default:
      return torch::headeronly::toString(dtype);
  }
}

inline std::string device_name(const Tensor& t) {
  return t.is_cuda() ? "cuda:" + std::to_string(t.get_device_index()) : "cpu";
}

struct Shape {
  const int64_t* begin;
  size_t size;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << "[";
  for (size_t i = 0; i < shape.size; ++i) out << (i ? ", " : "") << shape.begin[i];
  return out << "]";
}

inline Shape shape_of(const Tensor& t) { return {t.sizes().data(), t.sizes().size()}; }

// The checks of one op call. `first` is the argument that sets device and dtype.
class Check {
 public:
  Check(const char* op, const Tensor& first, const char* name, int64_t dims, const char* shape)
      : op_(op), first_(first), first_name_(name) {
    require(first.dim() == dims, name, " must be ", shape, ", got shape ", shape_of(first));
    dense(first, name);
  }

  template <typename... Parts>
  void require(bool ok, const Parts&... parts) const {
    if (ok) return;
    std::ostringstream message;
    message << "clusca::" << op_ << ": ";
    ((message << parts), ...);
    throw std::runtime_error(message.str());
  }

  void at_least_one(int64_t value, const char* name) const {
    require(value >= 1, name, " must be at least 1, got ", value);
  }

  // Of what is numbered or counted in int32.
  void at_most_int32(int64_t value, const char* name) const {
    constexpr int64_t kMost = 0x7fffffff - 1024;  // kernels count on to the end of a tile
    require(value <= kMost, name, " must be at most ", kMost, ", got ", value);
  }

  void floating(const Tensor& t, const char* name) const {
    require(is_floating(t.scalar_type()), name, " must be float32, float16 or bfloat16, got ",
            dtype_name(t.scalar_type()));
  }

  void tensor(const Tensor& t, const char* name, std::initializer_list<int64_t> shape,
              ScalarType dtype) const {
    layout(t, name, shape);
    of_dtype(t, name, dtype);
  }

  // The same of any strides: few numbers, such as one a batch row.
  void numbers(const Tensor& t, const char* name, std::initializer_list<int64_t> shape,
               ScalarType dtype) const {
    placed(t, name, shape);
    of_dtype(t, name, dtype);
  }

  // Of any supported floating dtype.
  void floating(const Tensor& t, const char* name, std::initializer_list<int64_t> shape) const {
    layout(t, name, shape);
    floating(t, name);
  }

  // Of the first argument's dtype, or of lower precision.
  void feature(const Tensor& t, const char* name, std::initializer_list<int64_t> shape) const {
    layout(t, name, shape);
    const ScalarType dtype = t.scalar_type(), first = first_.scalar_type();
    require(is_floating(dtype) && (dtype == first || first == ScalarType::Float), name, " must be ",
            dtype_name(first), first == ScalarType::Float ? ", float16 or bfloat16" : "", ", got ",
            dtype_name(dtype));
  }

  // A gate, shift or scale of B x N x D: [B, D], [B, 1, D] or [B, N, D], of the first argument's
  // dtype or float32.
  void modulation(const std::optional<Tensor>& t, const char* name, int64_t B, int64_t N,
                  int64_t D) const {
    if (!t) return;
    spread(*t, name, B, N, D);
    stream_dtype(*t, name);
  }

  // The same of any supported floating dtype.
  void floating_modulation(const std::optional<Tensor>& t, const char* name, int64_t B, int64_t N,
                           int64_t D) const {
    if (!t) return;
    spread(*t, name, B, N, D);
    floating(*t, name);
  }

  // A norm's weight or bias [D], of the first argument's dtype or float32.
  void affine(const std::optional<Tensor>& t, const char* name, int64_t D) const {
    if (!t) return;
    layout(*t, name, {D});
    stream_dtype(*t, name);
  }

  // Written in place: no two elements may share memory. Each stride must lead beyond what the
  // smaller ones reach, as it does in every view that slices and permutes.
  void writable(const Tensor& t, const char* name) const {
    std::vector<std::pair<int64_t, int64_t>> dims;  // (stride, size)
    for (int64_t i = 0; i < t.dim(); ++i) {
      if (t.size(i) > 1) dims.emplace_back(t.stride(i), t.size(i));
    }
    std::sort(dims.begin(), dims.end());
    int64_t reached = 0;
    for (const auto& [stride, size] : dims) {
      require(stride > reached, name,
              " is written in place and no two of its elements may share memory, got shape ",
              shape_of(t), " with strides ", Shape{t.strides().data(), t.strides().size()});
      reached += (size - 1) * stride;
    }
  }

  template <typename Value>
  Value one_of(const std::string& got, const char* name,
               std::initializer_list<std::pair<const char*, Value>> allowed) const {
    std::string names;
    for (const auto& [key, value] : allowed) {
      if (got == key) return value;
      names += (names.empty() ? "\"" : ", \"") + std::string(key) + "\"";
    }
    require(false, name, " must be one of ", names, ", got \"", got, "\"");
    return {};
  }

 private:
  void spread(const Tensor& t, const char* name, int64_t B, int64_t N, int64_t D) const {
    const auto sizes = t.sizes();
    const bool pooled = sizes.size() == 2 && sizes[0] == B && sizes[1] == D;
    const bool per_token =
        sizes.size() == 3 && sizes[0] == B && sizes[2] == D && (sizes[1] == 1 || sizes[1] == N);
    require(pooled || per_token, name, " must have shape [", B, ", ", D, "], [", B, ", 1, ", D,
            "] or [", B, ", ", N, ", ", D, "], got ", shape_of(t));
    same_device(t, name);
    dense(t, name);
  }

  void placed(const Tensor& t, const char* name, std::initializer_list<int64_t> shape) const {
    const auto sizes = t.sizes();
    require(std::equal(sizes.begin(), sizes.end(), shape.begin(), shape.end()), name,
            " must have shape ", Shape{shape.begin(), shape.size()}, ", got ", shape_of(t));
    same_device(t, name);
  }

  void layout(const Tensor& t, const char* name, std::initializer_list<int64_t> shape) const {
    placed(t, name, shape);
    dense(t, name);
  }

  void of_dtype(const Tensor& t, const char* name, ScalarType dtype) const {
    require(t.scalar_type() == dtype, name, " must be ", dtype_name(dtype), ", got ",
            dtype_name(t.scalar_type()));
  }

  void stream_dtype(const Tensor& t, const char* name) const {
    const ScalarType first = first_.scalar_type();
    require(t.scalar_type() == first || t.scalar_type() == ScalarType::Float, name, " must be ",
            dtype_name(first), first == ScalarType::Float ? "" : " or float32", ", got ",
            dtype_name(t.scalar_type()));
  }

  void same_device(const Tensor& t, const char* name) const {
    require(t.is_cuda() == first_.is_cuda() && t.get_device_index() == first_.get_device_index(),
            name, " must be on ", device_name(first_), " as ", first_name_, " is, got ",
            device_name(t));
  }

  void dense(const Tensor& t, const char* name) const {
    const int64_t last = t.dim() - 1;
    require(last < 0 || t.size(last) <= 1 || t.stride(last) == 1, name,
            " must be dense in its last dimension, got stride ", last < 0 ? 0 : t.stride(last));
  }

  const char* const op_;
  const Tensor& first_;
  const char* const first_name_;
};

}  // namespace clusca
