// Runs the CUDA kernels of one family (the argument) in the emulation and compares them with the
// CPU kernels. Prints the address of every kernel that ran.
#include <cstdio>
#include <map>
#include <string>

#include "cases.h"
#include "compare.h"
#include "cuda_emulation.h"

int main(int, char** arguments) {
  const std::map<std::string, void (*)()> families = {{"formats", test_formats},
                                                      {"tokens", test_tokens},
                                                      {"gather", test_gather},
                                                      {"collapse", test_collapse},
                                                      {"lean", test_lean},
                                                      {"select", test_select},
                                                      {"kmeans", test_kmeans},
                                                      {"kmeans-matrix", test_kmeans_matrix},
                                                      {"kmeans-cluster", test_kmeans_cluster}};
  families.at(arguments[1])();
  for (const void* kernel : emulation::launched_kernels()) std::printf("%p\n", kernel);
  if (failures() > 0) std::fprintf(stderr, "%d arrays differ\n", failures());
  return failures() > 0;
}
