// The CUDA matrix kernel of k-means; kmeans_matrix.h says what it computes.
#include <type_traits>

#include "kernels/kmeans_matrix.cuh"
#include "kernels/tensor_core.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int kStages = 4;  // of shared memory, three of them on their way
constexpr int kStep = 16;   // channels of a multiplication
constexpr int64_t kManyTokens = 16384;

// What a block scores together: kTokens x kPanel, in stages of kDepth channels. In a stage the
// parts of the centroids come first, then the tokens, a row each. A row's packets of 16 bytes
// change places by the row's number, so that the eight rows of a matrix lie in different banks.
template <int kTokens_, int kPanel_, int kDepth_>
struct Tile {
  static constexpr int kTokens = kTokens_, kPanel = kPanel_, kDepth = kDepth_;
  static constexpr int kTokenTiles = kTokens / 16, kClusterTiles = kPanel / 8;
  static constexpr int kCentroidRows = kCentroidParts * kPanel, kRows = kCentroidRows + kTokens;
  static constexpr int kPackets = kDepth / 8;        // of a row
  static constexpr int kPass = kThreads / kPackets;  // rows that all threads load at once
  static constexpr int kStageBytes = kRows * kDepth * 2;
  static constexpr int kLanes = kThreads / kTokens;  // threads that share a token's scores
  static constexpr int kWidth = kPanel + 1;  // of a warp's products of a token, and its square
  static constexpr int kShared = kStages * kStageBytes;
  static_assert(kShared >= kWarps * kTokens * kWidth * 4, "products lie where stages were");
  static_assert(kMatrixDepth % kDepth == 0 && kPanel % kPass == 0 && kTokens % kPass == 0,
                "stages and passes are whole");

  __device__ static unsigned char* packet(unsigned char* stage, int row, int packet) {
    return stage + row * (kDepth * 2) + (packet ^ (row % 8)) * 16;
  }
};

// Begins to copy channels from `depth` on into a stage.
template <typename T, int kVec, typename scalar_t>
__device__ inline void load_stage(const MatrixParams<scalar_t>& params, unsigned char* stage,
                                  int64_t b, int first, int panel, int depth) {
  const KmeansAssignParams<scalar_t>& p = params.assign;
  const int N = static_cast<int>(p.N), D = static_cast<int>(p.D);
  const int packet = threadIdx.x % T::kPackets, d = depth + packet * 8;
  const int own = threadIdx.x / T::kPackets;
  const scalar_t* centroid = params.split.part(b, panel + own, 0) + d;
#pragma unroll
  for (int i = 0; i < T::kCentroidRows; i += T::kPass) {
    const int at = i % T::kPanel * static_cast<int>(kCentroidParts) + i / T::kPanel;
    copy_packet(T::packet(stage, i + own, packet), centroid + at * params.split.depth, true);
  }
  const scalar_t* safe = p.tokens.row(b, first);
  const scalar_t* token = safe + own * p.tokens.token_stride;
#pragma unroll
  for (int i = 0; i < T::kTokens; i += T::kPass) {
    unsigned char* to = T::packet(stage, T::kCentroidRows + i + own, packet);
    const bool exists = first + i + own < N && d < D;
    if constexpr (kVec == 8) {
      copy_packet(to, exists ? token + d : safe, exists);
    } else {
      *reinterpret_cast<Packet<scalar_t, 8>*>(to) =
          gather_packet(exists ? token : safe, exists ? d : D, D);
    }
    token += T::kPass * p.tokens.token_stride;
  }
}

template <typename T, typename scalar_t>
struct Products {
  float sums[T::kTokenTiles][T::kClusterTiles][4] = {};
  float squares[T::kTokenTiles][2] = {};

  // Adds the channels of a stage that are this warp's.
  __device__ void add(unsigned char* stage, bool with_squares) {
    const int warp = threadIdx.x / 32, matrix = threadIdx.x % 32 / 8, row = threadIdx.x % 8;
#pragma unroll
    for (int step = 0; step < T::kDepth / kStep / kWarps; ++step) {
      const int packet = (step * kWarps + warp) * 2;
      uint32_t centroids[kCentroidParts][T::kClusterTiles / 2][4];
#pragma unroll
      for (int part = 0; part < kCentroidParts; ++part) {
#pragma unroll
        for (int c = 0; c < T::kClusterTiles / 2; ++c) {
          const int own = part * T::kPanel + c * 16 + matrix / 2 * 8 + row;
          load_matrices(centroids[part][c], T::packet(stage, own, packet + matrix % 2));
        }
      }
      // Two tiles of tokens at a time: a sum is not waited for by the next multiplication.
#pragma unroll
      for (int t = 0; t < T::kTokenTiles; t += 2) {
        uint32_t tokens[2][4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int own = T::kCentroidRows + (t + j) * 16 + matrix % 2 * 8 + row;
          load_matrices(tokens[j], T::packet(stage, own, packet + matrix / 2));
        }
#pragma unroll
        for (int part = 0; part < kCentroidParts; ++part) {
#pragma unroll
          for (int c = 0; c < T::kClusterTiles; ++c) {
            const uint32_t (&pair)[4] = centroids[part][c / 2];
#pragma unroll
            for (int j = 0; j < 2; ++j) {
              multiply_add<scalar_t>(sums[t + j][c], tokens[j], pair[c % 2 * 2],
                                     pair[c % 2 * 2 + 1]);
            }
          }
        }
        if (with_squares) {
#pragma unroll
          for (int i = 0; i < 8; ++i) add_squares(squares[t + i / 4][i % 2], tokens[i / 4][i % 4]);
        }
      }
    }
  }

  // Leaves them in shared memory: [kWarps, kTokens, kWidth].
  __device__ void store(float* shared) const {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < T::kTokenTiles; ++t) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float* row = shared + (warp * T::kTokens + t * 16 + half * 8 + lane / 4) * T::kWidth;
#pragma unroll
        for (int c = 0; c < T::kClusterTiles; ++c) {
          row[c * 8 + lane % 4 * 2] = sums[t][c][half * 2];
          row[c * 8 + lane % 4 * 2 + 1] = sums[t][c][half * 2 + 1];
        }
        float square = squares[t][half];
        square += __shfl_xor_sync(0xffffffffu, square, 1);
        square += __shfl_xor_sync(0xffffffffu, square, 2);
        if (lane % 4 == 0) row[T::kPanel] = square;
      }
    }
  }
};

// The warps' products, added in order.
template <typename T>
__device__ inline float product_of(const float* shared, int token, int column) {
  float sum = 0.f;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    sum += shared[(warp * T::kTokens + token) * T::kWidth + column];
  }
  return sum;
}

// The warps of a block share out the channels of its tokens.
template <typename scalar_t, typename T, int kVec>
__global__ __launch_bounds__(kThreads) void kmeans_matrix_kernel(
    const MatrixParams<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.assign;
  const SplitCentroids<scalar_t>& split = params.split;
  // Of float16, squares cannot overflow.
  constexpr bool kSquares = std::is_same_v<scalar_t, __nv_bfloat16>;
  unsigned char* stages = dynamic_shared();
  float* products_of_warps = reinterpret_cast<float*>(stages);
  const int N = static_cast<int>(p.N), D = static_cast<int>(p.D);
  const uint32_t tiles = static_cast<uint32_t>((N + T::kTokens - 1) / T::kTokens);
  const int64_t b = blockIdx.x / tiles;
  const int first = static_cast<int>(blockIdx.x % tiles) * T::kTokens;
  if (params.converged.has(b)) return;
  const int token = threadIdx.x / T::kLanes, lane = threadIdx.x % T::kLanes;
  const int steps = (D + T::kDepth - 1) / T::kDepth;
  const int rows = static_cast<int>(split.rows);

  float best = INFINITY, square = 0.f;
  int id = 0;
  for (int panel = 0; panel < rows; panel += T::kPanel) {
    const auto load_step = [&](int step) {
      if (step < steps) {
        load_stage<T, kVec>(params, stages + step % kStages * T::kStageBytes, b, first, panel,
                            step * T::kDepth);
      }
      end_copies();
    };
    Products<T, scalar_t> products;
    for (int step = 0; step < kStages - 1; ++step) load_step(step);
    for (int step = 0; step < steps; ++step) {
      wait_for_copies<kStages - 2>();
      __syncthreads();
      load_step(step + kStages - 1);
      products.add(stages + step % kStages * T::kStageBytes, kSquares && panel == 0);
    }
    wait_for_copies<0>();
    __syncthreads();
    products.store(products_of_warps);
    __syncthreads();
    if (panel == 0) square = product_of<T>(products_of_warps, token, T::kPanel);
    // Ascending clusters and a strict comparison: ties go to the lowest. NaN is never lower.
    for (int k = lane; k < T::kPanel; k += T::kLanes) {
      const int64_t at = b * rows + panel + k;
      const float product = product_of<T>(products_of_warps, token, k);
      const float score = split.offsets[at] - split.scales[at] * product;
      if (score < best) best = score, id = panel + k;
    }
    __syncthreads();
  }

  for (int other = T::kLanes / 2; other > 0; other /= 2) {
    const float score = __shfl_xor_sync(0xffffffffu, best, other);
    const int cluster = __shfl_xor_sync(0xffffffffu, id, other);
    if (score < best || (score == best && cluster < id)) best = score, id = cluster;
  }
  if (lane != 0 || first + token >= N) return;
  write_label(p, b, first + token, id,
              is_finite_distance(params, b, first + token, id, best, square));
}

template <typename T, typename scalar_t>
cudaError_t launch_tile(const MatrixParams<scalar_t>& params, cudaStream_t stream) {
  const KmeansAssignParams<scalar_t>& p = params.assign;
  const bool packets = p.D % 8 == 0 && is_aligned(p.tokens);
  return launch(
      packets ? kmeans_matrix_kernel<scalar_t, T, 8> : kmeans_matrix_kernel<scalar_t, T, 1>,
      p.B * ceil_div(p.N, T::kTokens), dim3(kThreads), stream, params,
      LaunchOptions{T::kShared, 1});
}

}  // namespace

// Of few tokens a block has few, so that there are blocks for all multiprocessors; of many it has
// many, so that centroids are fetched less often.
template <typename scalar_t>
cudaError_t launch_matrix_assign(const KmeansAssignParams<scalar_t>& p, Convergence converged,
                                 cudaStream_t stream) {
  const MatrixParams<scalar_t> params{p, converged,
                                      split_centroids<scalar_t>(p.workspace, p.B, p.K, p.D)};
  if (p.B * p.N == 0) return cudaSuccess;
  const cudaError_t error = launch_split(params, stream);
  if (error != cudaSuccess) return error;
  if (matrix_panel(p.K) == 64) return launch_tile<Tile<64, 64, 64>>(params, stream);
  if (p.N < kManyTokens) return launch_tile<Tile<32, 16, 128>>(params, stream);
  return launch_tile<Tile<128, 16, 64>>(params, stream);
}

#define CLUSCA_INSTANTIATE(T)                                                          \
  template cudaError_t launch_matrix_assign(const KmeansAssignParams<T>&, Convergence, \
                                            cudaStream_t);
CLUSCA_INSTANTIATE(__half)
CLUSCA_INSTANTIATE(__nv_bfloat16)

}  // namespace clusca
