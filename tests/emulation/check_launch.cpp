#include "check_launch.h"

namespace emulation {
namespace {

constexpr unsigned kMaxThreads = 1024, kMaxCluster = 8;

}  // namespace

unsigned check_launch(const cudaLaunchConfig_t& config) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const uint64_t size = uint64_t{block.x} * block.y * block.z;
  if (size == 0) fail("a block of no threads");
  if (size > kMaxThreads || block.z > 64)
    fail("a block of %u x %u x %u threads", block.x, block.y, block.z);
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) fail("an empty grid");
  if (grid.x > 0x7fffffffu || grid.y > 0xffffu || grid.z > 0xffffu) fail("too many blocks");
  unsigned cluster = 1;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id != cudaLaunchAttributeClusterDimension) fail("an unknown attribute");
    if (attribute.val.clusterDim.y != 1 || attribute.val.clusterDim.z != 1)
      fail("a cluster of more than one dimension");
    cluster = attribute.val.clusterDim.x;
  }
  if (cluster == 0 || cluster > kMaxCluster || grid.x % cluster != 0)
    fail("%u blocks in clusters of %u", grid.x, cluster);
  return cluster;
}

}  // namespace emulation
