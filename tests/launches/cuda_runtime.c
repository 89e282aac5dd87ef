// What stands in for the CUDA runtime: it remembers which kernels are launched and runs none. With
// it the operators' host code for CUDA runs on a CPU, as it is in libclusca_cuda.so. It refuses
// grids and blocks that CUDA refuses.
#include <stddef.h>
#include <stdint.h>

enum { kMost = 1 << 16, kInvalidConfiguration = 9 };
enum { kMaxDynamicShared = 8 };                              // an attribute of kernels
enum { kMajor = 75, kMinor = 76, kMostShared = 97 };         // of devices
enum { kFreeShared = 48 * 1024, kH200Shared = 227 * 1024 };  // bytes of a block

typedef struct {
  unsigned x, y, z;
} Size;

typedef struct {  // how a cudaLaunchConfig_t begins
  Size grid, block;
  size_t shared_bytes;
} Launch;

static struct {
  const void* host;
  const char* name;
  size_t most_shared;
} kernels[kMost];
static const char* launches[kMost];
static int kernel_count, launch_count;

int count_kernels(void) { return kernel_count; }
const char* kernel(int i) { return kernels[i].name; }
int count_launches(void) { return launch_count; }
const char* launch(int i) { return launches[i]; }
void forget_launches(void) { launch_count = 0; }

static int remember(const char* name) {
  if (launch_count == kMost) return kInvalidConfiguration;
  launches[launch_count++] = name;
  return 0;
}

void** __cudaRegisterFatBinary(void* binary) {
  static void* handle;
  (void)binary;
  return &handle;
}

void __cudaRegisterFatBinaryEnd(void** handle) { (void)handle; }

void __cudaUnregisterFatBinary(void** handle) { (void)handle; }

void __cudaRegisterFunction(void** handle, const void* host, char* device, const char* name) {
  (void)handle, (void)device;
  if (kernel_count == kMost) return;
  kernels[kernel_count].host = host;
  kernels[kernel_count].most_shared = kFreeShared;
  kernels[kernel_count++].name = name;
}

static int is_refused(Launch launch) {
  const Size grid = launch.grid, block = launch.block;
  const uint64_t threads = (uint64_t)block.x * block.y * block.z;
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) return 1;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return 1;
  return grid.x > INT32_MAX || grid.y > UINT16_MAX || grid.z > UINT16_MAX;
}

int cudaFuncSetAttribute(const void* host, int attribute, int value) {
  if (attribute != kMaxDynamicShared || value < 0 || value > kH200Shared)
    return kInvalidConfiguration;
  for (int i = 0; i < kernel_count; ++i) {
    if (kernels[i].host == host) kernels[i].most_shared = (size_t)value;
  }
  return 0;
}

int cudaFuncGetAttributes(void* attributes, const void* host) {
  (void)host;
  // How a cudaFuncAttributes goes on after three sizes: most threads, registers, PTX's version.
  struct {
    size_t sizes[3];
    int threads, registers, ptx;
  }* known = attributes;
  known->ptx = 90;
  return 0;
}

int cudaGetDevice(int* device) {
  *device = 0;
  return 0;
}

int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  *value = attribute == kMajor ? 9 : attribute == kMostShared ? kH200Shared : 0;
  return 0;
}

int cudaLaunchKernelExC(const Launch* launch, const void* host, void** arguments) {
  (void)arguments;
  if (is_refused(*launch)) return kInvalidConfiguration;
  for (int i = 0; i < kernel_count; ++i) {
    if (kernels[i].host != host) continue;
    if (launch->shared_bytes > kernels[i].most_shared) return kInvalidConfiguration;
    return remember(kernels[i].name);
  }
  return remember("a kernel that was not registered");
}

int cudaMemsetAsync(void* to, int value, size_t bytes, void* stream) {
  (void)to, (void)value, (void)bytes, (void)stream;
  return remember("memset");
}

int aoti_torch_get_current_cuda_stream(int32_t device, void** stream) {
  (void)device;
  *stream = NULL;
  return 0;
}

int aoti_torch_create_device_guard(int32_t device, void** guard) {
  (void)device;
  *guard = NULL;
  return 0;
}

int aoti_torch_delete_device_guard(void* guard) {
  (void)guard;
  return 0;
}

int torch_c10_cuda_check_msg(int32_t error, const char* file, const char* function, uint32_t line,
                             int include_device, char** message) {
  (void)file, (void)function, (void)line, (void)include_device;
  *message = error == 0 ? NULL : "CUDA refuses this launch";
  return 0;
}

void torch_c10_cuda_free_error_msg(char* message) { (void)message; }
