// torch.ops.clusca.gather_representatives: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/gather_representatives.h"
#else
#include "kernels/gather_representatives_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

std::tuple<Tensor, Tensor> gather_representatives(
    const Tensor& tokens, const Tensor& representatives, const std::optional<Tensor>& shift,
    const std::optional<Tensor>& scale, double eps, const std::optional<Tensor>& weight,
    const std::optional<Tensor>& bias, const Text& norm, const std::optional<Tensor>& offset) {
  const Check check("gather_representatives", tokens, "tokens", 3, "[B, N, D]");
  const int64_t B = tokens.size(0), N = tokens.size(1), D = tokens.size(2);
  check.floating(tokens, "tokens");
  check.at_least_one(D, "D of tokens");
  check.require(representatives.dim() == 2, "representatives must be [B, K], got shape ",
                shape_of(representatives));
  const int64_t K = representatives.size(1);
  check.at_least_one(K, "K of representatives");
  check.tensor(representatives, "representatives", {B, K}, ScalarType::Int);
  check.modulation(shift, "shift", B, N, D);
  check.modulation(scale, "scale", B, N, D);
  check.affine(weight, "weight", D);
  check.affine(bias, "bias", D);
  if (offset) check.tensor(*offset, "offset", {B, K, D}, ScalarType::Float);
  check.require(eps >= 0, "eps must be at least 0, got ", eps);
  const Norm kind = norm_of(check, norm);
  Tensor rows = torch::stable::new_empty(tokens, {B, K, D});
  Tensor modulated = torch::stable::new_empty(tokens, {B, K, D});
  dispatch(tokens.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    const GatherRepresentativesParams<scalar_t> p{
        tokens_of<scalar_t>(tokens),
        indices_of(representatives),
        rows_of(shift),
        rows_of(scale),
        rows_of(weight),
        rows_of(bias),
        offset ? tokens_of<float>(*offset) : Tokens<const float>{},
        static_cast<float>(eps),
        kind,
        static_cast<scalar_t*>(rows.mutable_data_ptr()),
        static_cast<scalar_t*>(modulated.mutable_data_ptr()),
        B,
        N,
        K,
        D};
    run_on(tokens, [&](auto queue) { return launch_gather_representatives(p, queue); });
  });
  return {rows, modulated};
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("gather_representatives", TORCH_BOX(&clusca::gather_representatives));
}
