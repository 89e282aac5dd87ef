// What the tests ask of both sides: `emulated` runs the CUDA launchers, `cpu` the CPU kernels. The
// arguments are plain arrays; every function reads and writes those its op takes.
#pragma once

#include <optional>
#include <vector>

#include "array.h"

struct TokenArguments {
  int64_t B, N, K, D;
  Array x;                              // [B, N, D]
  Array factors;                        // [O + 1, B, N, D]
  Array feature;                        // [B, N, D]
  std::optional<Array> gate;            // [B, D], [B, 1, D] or [B, N, D]
  Array computed;                       // [B, K, D]
  Array representatives, cluster_ids;   // [B, K], [B, N]
  Array correction;                     // [B, K, D]
  Array out;                            // [B, N, D]
  std::optional<Array> weights, gamma;  // [O + 1] or [B, O + 1], [1]; else the values below
  float weight_values[8], gamma_value;
  bool delta;
  std::optional<Array> rates;  // [O] of taylor_update; else the values below
  float rate_values[8];
};

struct GatherArguments {
  int64_t B, N, K, D;
  Array tokens;                       // [B, N, D]
  Array representatives;              // [B, K]
  std::optional<Array> shift, scale;  // [B, D], [B, 1, D] or [B, N, D]
  std::optional<Array> weight, bias;  // [D]
  int norm;                           // as clusca::Norm
  std::optional<Array> offset;        // [B, K, D]
  float eps;
  Array rows, modulated;  // [B, K, D]
};

struct CarryArguments {
  int64_t B, N, K, D;
  Array offset, correction;       // [B, K, D]
  Array factors;                  // [O + 1, B, N, D]
  Array representatives;          // [B, K]
  std::optional<Array> gate;      // [B, D], [B, 1, D] or [B, N, D]
  std::optional<Array> computed;  // [B, K, D]
  std::optional<Array> weights;   // [O + 1] or [B, O + 1]; else the values below
  float weight_values[8];
};

// What a module brings to collapsed_residual.
struct ModuleArguments {
  Array factors;                 // [O + 1, B, N, D]
  std::optional<Array> gate;     // [B, D], [B, 1, D] or [B, N, D]
  std::optional<Array> weights;  // [O + 1] or [B, O + 1]; else the values of all modules
};

// What clusters have learnt, and who they are.
struct LearntArguments {
  int64_t K;
  std::optional<Array> correction;     // [B, K, D]; without it, nothing below is read
  Array representatives, cluster_ids;  // [B, K], [B, N]
  std::optional<Array> gamma;          // [1]; else the value below
  float gamma_value;
};

struct CollapseArguments {
  int64_t B, N, D;
  Array x, out;  // [B, N, D]
  std::vector<ModuleArguments> modules;
  float weight_values[8];
  LearntArguments learnt;
};

// What a module brings to collapse_forecasts.
struct ForecastArguments {
  Array factors;              // [O + 1, B, N, D]
  std::optional<Array> gate;  // [S, B, D] or [S, 1, D]
  Array weights;              // [S, O + 1]
};

struct SumsArguments {
  int64_t S, B, N, D;
  Array sums;  // [S, B, N, D]
  bool adds;
  std::vector<ForecastArguments> modules;
};

struct LeanAccumulateArguments {
  int64_t C, B, N, D;
  Array accumulators;  // [C, B, N, D]
  Array feature;       // [B, N, D]
  Array phi;           // [C, B, D]
};

struct LeanOutputArguments {
  int64_t J, B, N, D;
  Array x, out;   // [B, N, D], the latter dense
  Array sums;     // [J, B, N, D]
  Array weights;  // [J, B] or [J, B, D]; or turned, [B, J]
  bool is_turned;
  LearntArguments learnt;
  std::optional<Array> shift, scale;  // [B, D], [B, 1, D] or [B, N, D]
  std::optional<Array> weight, bias;  // [D]
  int norm;                           // as clusca::Norm
  float eps;
};

struct SelectArguments {
  int64_t B, N, K;
  Array cluster_ids, distances;  // [B, N]
  Array seed;                    // [1, 2] or [B, 2]
  int64_t layer;
  Array representatives;  // [B, K]
};

constexpr int kVectorKernel = 0, kMatrixKernel = 1, kClusterKernel = 2;  // as clusca::Kernel

struct KmeansArguments {
  int64_t B, N, K, D;
  Array tokens, centroids;  // [B, N, D], [B, K, D]
  bool l1;
  int kernel;                    // clusca::Kernel of the CUDA side; the CPU's is kVectorKernel
  Array workspace;               // [workspace_of(...)]
  Array cluster_ids, distances;  // [B, N]
  Array partial_sums, partial_counts;  // [B, chunks, K, D], [B, chunks, K]
  Array sums, counts;                  // [B, K, D], [B, K]
  int64_t max_iters;
  float rtol;
  Array moves, iterations;  // [max_iters + 1, B, 2], [B]
};

#define CLUSCA_SIDE_FUNCTIONS                       \
  void taylor_update(TokenArguments& a);            \
  void taylor_forecast(TokenArguments& a);          \
  void forecast_residual(TokenArguments& a);        \
  void propagate_residual(TokenArguments& a);       \
  void propagate_factors(TokenArguments& a);        \
  void cluster_propagate(TokenArguments& a);        \
  void gather_representatives(GatherArguments& a);  \
  void select_representatives(SelectArguments& a);  \
  void select_nearest(SelectArguments& a);          \
  void carry_representatives(CarryArguments& a);    \
  void collapsed_residual(CollapseArguments& a);    \
  void collapse_forecasts(SumsArguments& a);        \
  void lean_accumulate(LeanAccumulateArguments& a); \
  void lean_output(LeanOutputArguments& a);         \
  void kmeans_assign(KmeansArguments& a);           \
  void kmeans_step(KmeansArguments& a);             \
  void kmeans_fit(KmeansArguments& a);              \
  int64_t chunks_of(int64_t N, int64_t K);          \
  int64_t workspace_of(int64_t B, int64_t K, int64_t D);

namespace emulated {
CLUSCA_SIDE_FUNCTIONS
}
namespace cpu {
CLUSCA_SIDE_FUNCTIONS
}
