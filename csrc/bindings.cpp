// clusca_ext._C: what this build is. No operator passes through here: the op libraries know no
// Python, so the package also works where this module was built for another one.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <string>

namespace {

// The clone of the CPU kernels that this machine runs (kernels/simd.h).
std::string cpu_capability() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
#endif
  return "baseline";
}

std::map<std::string, std::string> build_info() {
  return {
      {"torch_headers", CLUSCA_TORCH_HEADERS},  // what the headers called themselves
      {"torch_minimum", CLUSCA_TORCH_MINIMUM},  // what the stable ABI asks for
      {"cuda", CLUSCA_CUDA_VERSION},            // empty: built without CUDA
      {"cuda_architectures", CLUSCA_CUDA_ARCHITECTURES},
      {"compiler", CLUSCA_COMPILER},
      {"cpu_capability", cpu_capability()},
  };
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Build information of clusca_ext.";
  m.def("build_info", &build_info, "What this build is, as strings.");
}
