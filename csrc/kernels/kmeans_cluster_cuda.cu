// The CUDA cluster kernel of k-means; kmeans_cluster.h says what it does.
#include "kernels/kmeans_cluster.cuh"

namespace clusca {
namespace {

constexpr int kThreads = kClusterThreads;
constexpr int kBlocks = static_cast<int>(kClusterBlocks);
constexpr int kStages = kClusterStages;

template <typename scalar_t>
struct Params {
  KmeansStepParams<scalar_t> step;
  MatrixParams<scalar_t> matrix;
  int chunks, chunk_tokens;
  int slice;  // channels of a block, a multiple of kClusterStep
};

// A lane's cluster, the same for all tokens.
struct LaneCluster {
  float offset, scale;
};

template <typename scalar_t>
__device__ inline LaneCluster lane_cluster(const Params<scalar_t>& params, int64_t b) {
  const int lane = threadIdx.x % 32;
  if (lane >= params.step.assign.K) return {INFINITY, 0.f};
  const SplitCentroids<scalar_t>& split = params.matrix.split;
  return {split.offsets[b * split.rows + lane], split.scales[b * split.rows + lane]};
}

// A warp a token of this block's: its label, sent to everybody and returned; -1: it has none.
template <typename T, typename scalar_t>
__device__ inline int choose(const T& tile, const Params<scalar_t>& params, LaneCluster cluster,
                             int64_t b, int first, int last, int rank) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warp >= T::kOwn) return -1;
  float product = 0.f, square = 0.f;
#pragma unroll
  for (int from = 0; from < kBlocks; ++from) {
    const float* row = tile.inbox + (from * T::kOwn + warp) * T::kWidth;
    product += row[lane < T::kPanel ? lane : 0];
    square += row[T::kPanel];
  }
  const float own = cluster.offset - cluster.scale * product;
  float best = own < INFINITY ? own : INFINITY;  // NaN is never the lowest
  int id = best < INFINITY ? lane : 0;
#pragma unroll
  for (int other = 16; other > 0; other /= 2) {
    const float score = __shfl_xor_sync(0xffffffffu, best, other);
    const int k = __shfl_xor_sync(0xffffffffu, id, other);
    if (score < best || (score == best && k < id)) best = score, id = k;
  }
  const int t = rank * T::kOwn + warp, n = first + t;
  if (n >= last || !is_finite_distance(params.matrix, b, n, id, best, square)) id = -1;
  if (lane < kBlocks) *in_block(tile.labels + t, lane) = id;
  return id;
}

// Adds the tile's tokens to their clusters' sums, in order: a thread two channels. Where a block
// has threads for it, they share out the clusters.
template <typename T, typename scalar_t>
__device__ inline void accumulate(const T& tile, int stage, int slice, int K, int* count) {
  constexpr int kBatch = 4;  // tokens read before the first is added
  const int lane = threadIdx.x % 32;
  const int label = lane < T::kTokens ? tile.labels[lane] : -1;
  const int width = static_cast<int>(round_up(slice / 2 < kThreads ? slice / 2 : kThreads, 32));
  const int group = threadIdx.x / width, groups = kThreads / width;
  for (int k = 0; k < K; ++k) {
    const unsigned members = __ballot_sync(0xffffffffu, label == k);
    if (lane == k) *count += __popc(members);
    if (members == 0 || group != k % groups) continue;
    for (int d = threadIdx.x % width * 2; d < slice; d += width * 2) {
      float sum[2] = {};
      for (unsigned left = members; left != 0;) {
        InFlight<2, scalar_t> pairs[kBatch];
        bool is_there[kBatch];
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          is_there[i] = left != 0;
          const int t = is_there[i] ? __ffs(static_cast<int>(left)) - 1 : 0;
          pairs[i].load(reinterpret_cast<const scalar_t*>(tile.token(stage, t)) + d);
          left &= left - 1;
        }
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          float x[2];
          pairs[i].unpack(x);
          if (is_there[i]) sum[0] += x[0], sum[1] += x[1];
        }
      }
      float* to = tile.sums + k * slice + d;
      to[0] += sum[0], to[1] += sum[1];
    }
  }
}

template <typename scalar_t, typename T>
__global__ __launch_bounds__(kThreads,
                             2) void kmeans_cluster_kernel(const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.step.assign;
  const int slice = params.slice, D = static_cast<int>(p.D), K = static_cast<int>(p.K);
  const T tile(dynamic_shared(), slice);
  const int rank = cluster_rank(), d = rank * slice;
  const int64_t cluster = blockIdx.x / kBlocks, b = cluster / params.chunks;
  const int chunk = static_cast<int>(cluster % params.chunks);
  if (params.matrix.converged.has(b)) return;  // all blocks of a cluster
  const int64_t begin = static_cast<int64_t>(chunk) * params.chunk_tokens, end = p.N;
  const int start = static_cast<int>(begin < end ? begin : end);
  const int last =
      static_cast<int>(begin + params.chunk_tokens < end ? begin + params.chunk_tokens : end);
  for (int i = threadIdx.x; i < K * slice; i += kThreads) tile.sums[i] = 0.f;
  load_centroids(tile, params.matrix.split, b, d, slice);
  const auto load_tile = [&](int first) {
    if (first < last) {
      const int stage = (first - start) / T::kTokens % kStages;
      load_tokens(tile, stage, p.tokens, b, first, last, d, slice, D);
    }
    end_copies();
  };
  load_tile(start);
  cluster_barrier();  // everybody has begun: their shared memory is there
  int count = 0;      // of cluster `lane`
  const LaneCluster own_cluster = lane_cluster(params, b);
  for (int first = start; first < last; first += T::kTokens) {
    const int stage = (first - start) / T::kTokens % kStages;
    wait_for_copies<0>();
    __syncthreads();
    load_tile(first + T::kTokens);
    multiply_tile<T, scalar_t>(tile, stage, slice);
    __syncthreads();
    send_products(tile, rank);
    cluster_barrier();
    const int label = choose(tile, params, own_cluster, b, first, last, rank);
    cluster_barrier();
    // After the barrier, which waits for everything that is written before it.
    const int own = static_cast<int>(threadIdx.x / 32), n = first + rank * T::kOwn + own;
    if (threadIdx.x % 32 == 0 && own < T::kOwn && n < last) {
      write_label(p, b, n, label < 0 ? 0 : label, label >= 0);
    }
    accumulate<T, scalar_t>(tile, stage, slice, K, &count);
  }
  wait_for_copies<0>();
  __syncthreads();
  const int64_t row = (b * params.chunks + chunk) * K;
  for (int i = threadIdx.x; i < K * slice; i += kThreads) {
    const int k = i / slice, at = d + i % slice;
    if (at < D) params.step.partial_sums[(row + k) * D + at] = tile.sums[i];
  }
  const int k = static_cast<int>(threadIdx.x);
  if (rank == 0 && k < K) params.step.partial_counts[row + k] = count;
}

template <typename T>
int shared_bytes(int slice) {
  return static_cast<int>(cluster_shared_bytes(T::kTokens, T::kPanel, slice));
}

template <typename T, typename scalar_t>
cudaError_t launch_tile(const Params<scalar_t>& params, cudaStream_t stream) {
  const KmeansAssignParams<scalar_t>& p = params.step.assign;
  return launch(kmeans_cluster_kernel<scalar_t, T>, p.B * params.chunks * kBlocks, dim3(kThreads),
                stream, params, LaunchOptions{shared_bytes<T>(params.slice), kBlocks});
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_cluster(const KmeansStepParams<scalar_t>& step, Convergence converged,
                           cudaStream_t stream) {
  const KmeansAssignParams<scalar_t>& p = step.assign;
  const MatrixParams<scalar_t> matrix{p, converged,
                                      split_centroids<scalar_t>(p.workspace, p.B, p.K, p.D)};
  const int slice = static_cast<int>(cluster_slice(p.D));
  const Params<scalar_t> params{step, matrix, static_cast<int>(kmeans_chunks(p.N, p.K)),
                                static_cast<int>(kmeans_chunk_tokens(p.N, p.K)), slice};
  const cudaError_t error = launch_split(matrix, stream);
  if (error != cudaSuccess) return error;
  int device = 0, most = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (p.K <= 16 && shared_bytes<ClusterTile<32, 16>>(slice) <= most) {
    return launch_tile<ClusterTile<32, 16>>(params, stream);
  }
  if (p.K <= 16) return launch_tile<ClusterTile<16, 16>>(params, stream);
  if (shared_bytes<ClusterTile<32, 32>>(slice) <= most)
    return launch_tile<ClusterTile<32, 32>>(params, stream);
  return launch_tile<ClusterTile<16, 32>>(params, stream);
}

cudaError_t has_cluster_code(bool* has) {
  cudaFuncAttributes attributes;
  const auto kernel = kmeans_cluster_kernel<__half, ClusterTile<32, 16>>;
  const cudaError_t error =
      cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
  *has = error == cudaSuccess && attributes.ptxVersion >= 90;
  return error;
}

#define CLUSCA_INSTANTIATE(T) \
  template cudaError_t launch_cluster(const KmeansStepParams<T>&, Convergence, cudaStream_t);
CLUSCA_INSTANTIATE(__half)
CLUSCA_INSTANTIATE(__nv_bfloat16)

}  // namespace clusca
