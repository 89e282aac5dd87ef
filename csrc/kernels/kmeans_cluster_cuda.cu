// The CUDA cluster kernel of k-means; kmeans_cluster.h says what it does.
#include <type_traits>

#include "kernels/kmeans_cluster.cuh"
#include "kernels/kmeans_matrix.cuh"
#include "kernels/thread_block_cluster.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = kClusterThreads;
constexpr int kBlocks = static_cast<int>(kClusterBlocks);
constexpr int kParts = static_cast<int>(kCentroidParts);
constexpr int kStages = kClusterStages;
constexpr int kStep = 16;  // channels of a multiplication

template <typename scalar_t>
struct Params {
  KmeansStepParams<scalar_t> step;
  MatrixParams<scalar_t> matrix;
  int chunks, chunk_tokens;
  int slice;  // channels of a block, a multiple of kStep
};

// A warp's products of sixteen tokens and all centroids, over every kGroups-th step of the slice.
template <typename T, typename scalar_t>
__device__ inline void multiply_tile(const T& tile, int stage, int slice) {
  constexpr bool kSquares = std::is_same_v<scalar_t, __nv_bfloat16>;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, matrix = lane / 8, row = lane % 8;
  const int tokens = warp % T::kTokenTiles * 16, group = warp / T::kTokenTiles;
  float sums[T::kClusterTiles][4] = {}, squares[2] = {};
  for (int step = group; step < slice / kStep; step += T::kGroups) {
    uint32_t x[4];
    const int t = tokens + matrix % 2 * 8 + row;
    load_matrices(x, tile.token(stage, t) + (step * 2 + matrix / 2) * 16);
    if (kSquares) {
#pragma unroll
      for (int i = 0; i < 4; ++i) add_squares(squares[i % 2], x[i]);
    }
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
#pragma unroll
      for (int c = 0; c < T::kClusterTiles; c += 2) {
        uint32_t pair[4];
        const int k = part * T::kPanel + c * 8 + matrix / 2 * 8 + row;
        load_matrices(pair, tile.centroids + k * tile.row_bytes + (step * 2 + matrix % 2) * 16);
        multiply_add<scalar_t>(sums[c], x, pair[0], pair[1]);
        multiply_add<scalar_t>(sums[c + 1], x, pair[2], pair[3]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float* to = tile.products + (group * T::kTokens + tokens + half * 8 + lane / 4) * T::kWidth;
#pragma unroll
    for (int c = 0; c < T::kClusterTiles; ++c) {
      to[c * 8 + lane % 4 * 2] = sums[c][half * 2];
      to[c * 8 + lane % 4 * 2 + 1] = sums[c][half * 2 + 1];
    }
    float square = squares[half];
    square += __shfl_xor_sync(0xffffffffu, square, 1);
    square += __shfl_xor_sync(0xffffffffu, square, 2);
    if (lane % 4 == 0) to[T::kPanel] = square;
  }
}

// Adds the groups' products and sends them to the blocks that decide.
template <typename T>
__device__ inline void send_products(const T& tile, int rank) {
  for (int i = threadIdx.x; i < T::kTokens * T::kWidth; i += kThreads) {
    const int t = i / T::kWidth, column = i % T::kWidth;
    float sum = 0.f;
#pragma unroll
    for (int group = 0; group < T::kGroups; ++group) {
      sum += tile.products[(group * T::kTokens + t) * T::kWidth + column];
    }
    float* to = tile.inbox + (rank * T::kOwn + t % T::kOwn) * T::kWidth + column;
    *in_block(to, t / T::kOwn) = sum;
  }
}

// A warp a token of this block's: its label, for everybody. A lane has a cluster.
template <typename T, typename scalar_t>
__device__ inline void choose(const T& tile, const Params<scalar_t>& params, int64_t b, int first,
                              int last, int rank) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warp >= T::kOwn) return;
  const SplitCentroids<scalar_t>& split = params.matrix.split;
  float product = 0.f, square = 0.f;
#pragma unroll
  for (int from = 0; from < kBlocks; ++from) {
    const float* row = tile.inbox + (from * T::kOwn + warp) * T::kWidth;
    product += row[lane < T::kPanel ? lane : 0];
    square += row[T::kPanel];
  }
  float best = INFINITY;
  if (lane < params.step.assign.K) {
    const int64_t at = b * split.rows + lane;
    const float score = split.offsets[at] - split.scales[at] * product;
    if (score < best) best = score;
  }
  int id = best < INFINITY ? lane : 0;
#pragma unroll
  for (int other = 16; other > 0; other /= 2) {
    const float score = __shfl_xor_sync(0xffffffffu, best, other);
    const int cluster = __shfl_xor_sync(0xffffffffu, id, other);
    if (score < best || (score == best && cluster < id)) best = score, id = cluster;
  }
  const int t = rank * T::kOwn + warp, n = first + t;
  bool finite = false;
  if (n < last) {
    const KmeansAssignParams<scalar_t>& p = params.step.assign;
    finite = is_finite_distance(p, b, n, id, best, square);
    if (lane == 0) write_label(p, b, n, id, finite);
  }
  if (lane < kBlocks) *in_block(tile.labels + t, lane) = finite ? id : -1;
}

// Adds the tile's tokens to their clusters' sums: a thread two channels, tokens in order.
template <typename T, typename scalar_t>
__device__ inline void accumulate(const T& tile, int stage, int slice, int K, int* count) {
  const int lane = threadIdx.x % 32;
  const int label = lane < T::kTokens ? tile.labels[lane] : -1;
  for (int k = 0; k < K; ++k) {
    const unsigned members = __ballot_sync(0xffffffffu, label == k);
    if (lane == k) *count += __popc(members);
    if (members == 0) continue;
    for (int d = threadIdx.x * 2; d < slice; d += kThreads * 2) {
      float sum[2] = {};
      for (unsigned left = members; left != 0; left &= left - 1) {
        float x[2];
        const unsigned char* row = tile.token(stage, __ffs(static_cast<int>(left)) - 1);
        load<2>(reinterpret_cast<const scalar_t*>(row) + d, x);
        sum[0] += x[0], sum[1] += x[1];
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
  for (int first = start; first < last; first += T::kTokens) {
    const int stage = (first - start) / T::kTokens % kStages;
    wait_for_copies<0>();
    __syncthreads();
    load_tile(first + T::kTokens);
    multiply_tile<T, scalar_t>(tile, stage, slice);
    __syncthreads();
    send_products(tile, rank);
    cluster_barrier();
    choose(tile, params, b, first, last, rank);
    cluster_barrier();
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

#define CLUSCA_INSTANTIATE(T) \
  template cudaError_t launch_cluster(const KmeansStepParams<T>&, Convergence, cudaStream_t);
CLUSCA_INSTANTIATE(__half)
CLUSCA_INSTANTIATE(__nv_bfloat16)

}  // namespace clusca
