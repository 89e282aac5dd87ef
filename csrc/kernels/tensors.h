// How kernels see their arguments: pointers, strides in elements, and small values that may live on
// the device. This folder never includes torch; sizes and strides are the caller's promise, index
// values are not.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define CLUSCA_HD __host__ __device__
#else
#define CLUSCA_HD
#endif

namespace clusca {

enum class Dtype : int32_t { kFloat, kHalf, kBFloat16 };
enum class Metric : int32_t { kL2, kL1 };
enum class Kernel : int32_t { kVector, kMatrix, kCluster };
enum class Rule : int32_t { kValue, kDelta };
enum class Norm : int32_t { kLayer, kRms, kNone };

// [B, N, D] of one dtype: the last dimension is dense, the other strides are free.
template <typename T>
struct Tokens {
  T* data;
  int64_t batch_stride, token_stride;

  CLUSCA_HD T* row(int64_t b, int64_t n) const {
    return data + b * batch_stride + n * token_stride;
  }
};

// [J, B, N, D], J of the above.
template <typename T>
struct Stack {
  T* data;
  int64_t stride, batch_stride, token_stride;

  CLUSCA_HD T* row(int64_t j, int64_t b, int64_t n) const {
    return data + j * stride + b * batch_stride + n * token_stride;
  }
};

// Rows of D values whose dtype is known at run time: gates, shifts and scales ([B, D], [B, 1, D] or
// [B, N, D]), affine weights ([D]) and computed features ([B, K, D]). Null data: the argument was
// not given. Kernels read few of these rows, so one dtype test a row costs less than a template.
struct Rows {
  const void* data;
  Dtype dtype;
  int64_t batch_stride, token_stride;

  CLUSCA_HD int64_t offset(int64_t b, int64_t n) const {
    return b * batch_stride + n * token_stride;
  }
};

// [B, N] or [B, K] int32 whose values are not trusted; the last dimension is dense.
struct Indices {
  const int32_t* data;
  int64_t batch_stride;

  CLUSCA_HD const int32_t* row(int64_t b) const { return data + b * batch_stride; }
};

// Forecast weights w_0 .. w_O, by value or as float32 [O + 1] or [B, O + 1] on the device.
struct Weights {
  static constexpr int kMaxFactors = 8;

  const float* data;  // null: use values
  int64_t batch_stride;
  float values[kMaxFactors];

  CLUSCA_HD float at(int64_t b, int i) const {
    return data ? data[b * batch_stride + i] : values[i];
  }
};

// [O + 1, B, N, D] Taylor factors and their weights: forecast = sum_i weights_i * factors_i.
template <typename T>
struct Factors {
  const T* data;
  int64_t order_stride, batch_stride, token_stride;
  int count;  // O + 1
  Weights weights;

  CLUSCA_HD const T* row(int i, int64_t b, int64_t n) const {
    return data + i * order_stride + b * batch_stride + n * token_stride;
  }
};

// A float by value or as a 0-dim float32 tensor on the device.
struct Scalar {
  const float* data;  // null: use value
  float value;

  CLUSCA_HD float get() const { return data ? *data : value; }
};

}  // namespace clusca
