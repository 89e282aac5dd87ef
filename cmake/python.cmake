# Builds _C, which tells Python what this build is. cmake/cuda.cmake wrote down what the CUDA library
# beside it was compiled with; a build without one has no such file.

set(PYBIND11_FINDPYTHON ON)
set(Python_EXECUTABLE "${CLUSCA_PYTHON}")
find_package(pybind11 CONFIG REQUIRED)
pybind11_add_module(_C NO_EXTRAS csrc/bindings.cpp) # optimising across files gains nothing here

set(CLUSCA_BUILT_CUDA_VERSION "")
set(CLUSCA_BUILT_ARCHITECTURES "")
include("${CLUSCA_BUILT_CUDA}/built_cuda.cmake" OPTIONAL)
file(STRINGS "${CLUSCA_TORCH_DIR}/include/torch/headeronly/version.h" version_lines
     REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9]+" "." torch_headers "${version_lines}")
string(REGEX REPLACE "^\\.|\\.$" "" torch_headers "${torch_headers}")
string(REPLACE ";" "," architectures "${CLUSCA_BUILT_ARCHITECTURES}")
target_compile_definitions(
  _C PRIVATE CLUSCA_TORCH_HEADERS="${torch_headers}"
             CLUSCA_TORCH_MINIMUM="${CLUSCA_TORCH_MINIMUM}"
             CLUSCA_CUDA_VERSION="${CLUSCA_BUILT_CUDA_VERSION}"
             CLUSCA_CUDA_ARCHITECTURES="${architectures}"
             CLUSCA_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
target_link_options(_C PRIVATE -s)
