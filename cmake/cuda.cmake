# Decides on CUDA and links the CUDA library. "No nvcc at all" is the only thing that AUTO takes for
# "no CUDA": an nvcc that does not work is an error, never a silent CPU build.

find_program(CLUSCA_NVCC nvcc HINTS $ENV{CUDACXX} $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
string(TOUPPER "${CLUSCA_CUDA}" CLUSCA_CUDA)
if(NOT CLUSCA_CUDA MATCHES "^(ON|OFF|AUTO)$")
  message(FATAL_ERROR "CLUSCA_CUDA must be ON, OFF or AUTO, got '${CLUSCA_CUDA}'")
endif()
if(CLUSCA_CUDA STREQUAL "ON" AND NOT CLUSCA_NVCC)
  message(FATAL_ERROR "CLUSCA_CUDA=ON needs nvcc; none was found in PATH, CUDACXX or CUDA_HOME")
endif()
if(CLUSCA_CUDA STREQUAL "OFF" OR NOT CLUSCA_NVCC)
  set(CLUSCA_WITH_CUDA OFF)
  set(CLUSCA_CUDA_ARCHITECTURES "")
  message(STATUS "clusca_ext: CPU only (CLUSCA_CUDA=${CLUSCA_CUDA}, nvcc: ${CLUSCA_NVCC})")
  return()
endif()

set(CLUSCA_WITH_CUDA ON)
set(CMAKE_CUDA_ARCHITECTURES OFF) # our own -gencode below: CMake's list cannot say "PTX of the oldest"
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
if(NOT DEFINED CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER "${CLUSCA_NVCC}")
endif()
enable_language(CUDA)

if(NOT CLUSCA_CUDA_ARCHITECTURES)
  # A chip runs the code of an older one of its major version: 86 and 89 that of 80.
  set(CLUSCA_CUDA_ARCHITECTURES 80 90a)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND CLUSCA_CUDA_ARCHITECTURES 100 120)
  endif()
endif()
file(WRITE ${CMAKE_BINARY_DIR}/built_cuda.cmake
     "set(CLUSCA_BUILT_CUDA_VERSION ${CMAKE_CUDA_COMPILER_VERSION})\n"
     "set(CLUSCA_BUILT_ARCHITECTURES ${CLUSCA_CUDA_ARCHITECTURES})\n")
message(STATUS "clusca_ext: CUDA ${CMAKE_CUDA_COMPILER_VERSION} for ${CLUSCA_CUDA_ARCHITECTURES}")

function(clusca_link_cuda target)
  # Chips of a major version that is not listed compile the PTX of the oldest.
  set(gencode "SHELL:-gencode=arch=compute_80,code=compute_80")
  foreach(arch ${CLUSCA_CUDA_ARCHITECTURES})
    list(APPEND gencode "SHELL:-gencode=arch=compute_${arch},code=sm_${arch}")
  endforeach()
  set(flags -Xfatbin=-compress-all)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND flags -compress-mode=size)
  endif()
  if(CLUSCA_LINEINFO) # more than half of the library
    list(APPEND flags -lineinfo)
  endif()
  target_compile_options(
    ${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${gencode};${flags};SHELL:-Xptxas -v,-warn-spills;SHELL:-Xcompiler -Wall,-Wextra,-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=>")
  target_compile_definitions(${target} PRIVATE CLUSCA_CUDA USE_CUDA) # USE_CUDA: torch's CUDA shims
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  # cudart is torch's: one runtime in the process, and another CUDA major fails at load.
  set_target_properties(${target} PROPERTIES CUDA_RUNTIME_LIBRARY Shared
                                             CUDA_VISIBILITY_PRESET hidden)

  # A CPU-only torch has no libtorch_cuda.so to link. This stub defines exactly what we use of it, so
  # anything else fails at link time, and libtorch_cuda.so gets into NEEDED, without which the real one
  # would not be searched. Never installed.
  file(WRITE ${CMAKE_BINARY_DIR}/stub/torch_cuda.cpp
       "#define S extern \"C\" __attribute__((visibility(\"default\"))) void\n"
       "S aoti_torch_get_current_cuda_stream() {}\n"
       "S torch_c10_cuda_check_msg() {}\nS torch_c10_cuda_free_error_msg() {}\n")
  add_library(torch_cuda_stub SHARED ${CMAKE_BINARY_DIR}/stub/torch_cuda.cpp)
  set_target_properties(torch_cuda_stub PROPERTIES OUTPUT_NAME torch_cuda LIBRARY_OUTPUT_DIRECTORY
                                                                          ${CMAKE_BINARY_DIR}/stub)
  target_link_libraries(${target} PRIVATE clusca_common torch_cpu torch_cuda_stub)
  target_link_options(${target} PRIVATE -Wl,--no-as-needed)
endfunction()
