// The library's whole operator surface. Each op is implemented in ops/<op>.cpp, compiled once for
// the CPU and once for CUDA; fakes and docstrings are in python/clusca_ext/ops.
#include <torch/csrc/stable/library.h>

// Where an op has two overloads the .tensor one comes first: a call that names none takes the first
// that fits, and would otherwise quietly read a tensor given for a number on the host.
STABLE_TORCH_LIBRARY(clusca, m) {
  m.def(
      "kmeans_assign(Tensor tokens, Tensor centroids, str metric=\"l2\", str kernel_name=\"auto\") "
      "-> (Tensor cluster_ids, Tensor distances)");
  m.def(
      "kmeans_step(Tensor tokens, Tensor centroids, str metric=\"l2\", str kernel_name=\"auto\") "
      "-> (Tensor cluster_ids, Tensor sums, Tensor counts)");
  m.def(
      "kmeans_fit(Tensor tokens, Tensor centroids, str metric=\"l2\", int max_iters=10, "
      "float rtol=0.0001, str kernel_name=\"auto\") -> (Tensor cluster_ids, Tensor distances, "
      "Tensor centroids, Tensor counts, Tensor iterations)");

  m.def(
      "select_representatives(Tensor cluster_ids, int num_clusters, Tensor seed, int layer=0) "
      "-> Tensor");
  m.def("select_nearest(Tensor cluster_ids, Tensor distances, int num_clusters) -> Tensor");
  m.def(
      "gather_representatives(Tensor tokens, Tensor representatives, Tensor? shift=None, "
      "Tensor? scale=None, float eps=1e-06, Tensor? weight=None, Tensor? bias=None, "
      "str norm=\"layer\", Tensor? offset=None) -> (Tensor rows, Tensor modulated)");

  m.def(
      "cluster_propagate.tensor(Tensor forecast, Tensor computed, Tensor representatives, "
      "Tensor cluster_ids, Tensor gamma, str rule=\"value\") -> Tensor");
  m.def(
      "cluster_propagate(Tensor forecast, Tensor computed, Tensor representatives, "
      "Tensor cluster_ids, float gamma, str rule=\"value\") -> Tensor");

  m.def("taylor_update_.tensor(Tensor(a!) factors, Tensor feature, Tensor rates) -> ()");
  m.def(
      "taylor_update_(Tensor(a!) factors, Tensor feature, float spacing, int? history=None) -> ()");
  m.def("taylor_forecast.tensor(Tensor factors, Tensor weights) -> Tensor");
  m.def("taylor_forecast(Tensor factors, float distance) -> Tensor");

  m.def(
      "forecast_residual_.tensor(Tensor(a!) x, Tensor factors, Tensor? gate, Tensor weights) "
      "-> ()");
  m.def("forecast_residual_(Tensor(a!) x, Tensor factors, Tensor? gate, float distance) -> ()");
  m.def(
      "propagate_residual_.tensor(Tensor(a!) x, Tensor factors, Tensor computed, "
      "Tensor representatives, Tensor cluster_ids, Tensor? gate, Tensor gamma, Tensor weights, "
      "str rule=\"value\") -> ()");
  m.def(
      "propagate_residual_(Tensor(a!) x, Tensor factors, Tensor computed, Tensor representatives, "
      "Tensor cluster_ids, Tensor? gate, float gamma, float distance, str rule=\"value\") -> ()");
  m.def(
      "carry_representatives_.tensor(Tensor(a!) offset, Tensor(b!) correction, Tensor factors, "
      "Tensor representatives, Tensor? gate, Tensor? computed, Tensor weights) -> ()");
  m.def(
      "carry_representatives_(Tensor(a!) offset, Tensor(b!) correction, Tensor factors, "
      "Tensor representatives, Tensor? gate, Tensor? computed, float distance) -> ()");
  m.def(
      "collapsed_residual.tensor(Tensor x, Tensor[] factors, Tensor?[] gates, Tensor[] weights, "
      "Tensor? correction=None, Tensor? representatives=None, Tensor? cluster_ids=None, "
      "Tensor? gamma=None) -> Tensor");
  m.def(
      "collapsed_residual(Tensor x, Tensor[] factors, Tensor?[] gates, float distance, "
      "Tensor? correction=None, Tensor? representatives=None, Tensor? cluster_ids=None, "
      "float? gamma=None) -> Tensor");
  m.def(
      "collapse_forecasts_(Tensor(a!) sums, Tensor[] factors, Tensor?[] gates, Tensor[] weights) "
      "-> ()");
  m.def("lean_accumulate_(Tensor(a!) accumulators, Tensor feature, Tensor phi) -> ()");
  m.def(
      "lean_output.tensor(Tensor x, Tensor sums, Tensor weights, Tensor? correction=None, "
      "Tensor? representatives=None, Tensor? cluster_ids=None, Tensor? gamma=None, "
      "Tensor? shift=None, Tensor? scale=None, float eps=1e-06, Tensor? weight=None, "
      "Tensor? bias=None, str norm=\"none\") -> Tensor");
  m.def(
      "lean_output(Tensor x, Tensor sums, Tensor weights, Tensor? correction=None, "
      "Tensor? representatives=None, Tensor? cluster_ids=None, float? gamma=None, "
      "Tensor? shift=None, Tensor? scale=None, float eps=1e-06, Tensor? weight=None, "
      "Tensor? bias=None, str norm=\"none\") -> Tensor");
  m.def(
      "propagate_factors_.tensor(Tensor(a!) factors, Tensor computed, Tensor representatives, "
      "Tensor cluster_ids, Tensor gamma) -> ()");
  m.def(
      "propagate_factors_(Tensor(a!) factors, Tensor computed, Tensor representatives, "
      "Tensor cluster_ids, float gamma) -> ()");
}
