// A tensor in a heap buffer of exactly its size, so that AddressSanitizer sees the first byte
// beyond it. What lies between the elements of a strided one is NaN, and must stay so.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "rounding.h"

enum class Format { kFloat, kHalf, kBFloat16, kInt32, kInt64 };  // the first three as clusca::Dtype

enum class Layout {
  kDense,
  kPadded,   // rows some packets apart: strided, and 16 bytes aligned
  kSwapped,  // the outer dimensions in reverse order, rows padded
  kSkewed,   // rows an odd number of elements apart
  kSplit,    // the outermost dimension an odd number of elements more than dense
  kShifted,  // dense, the first element off 16 bytes
};

inline int64_t size_of(Format format) {
  switch (format) {
    case Format::kHalf:
    case Format::kBFloat16:
      return 2;
    case Format::kInt64:
      return 8;
    default:
      return 4;
  }
}

class Array {
 public:
  Array(Format format, std::vector<int64_t> sizes, Layout layout = Layout::kDense);
  Array(const Array& other);
  Array& operator=(Array&&) = default;

  void* data() { return storage_.get() + offset_ * size_of(format); }
  int64_t size(size_t dimension) const { return sizes[dimension]; }
  int64_t stride(size_t dimension) const { return strides[dimension]; }
  int64_t count() const { return count_; }
  // Element i in row-major order.
  double get(int64_t i) const;
  void set(int64_t i, double value);
  // Whether all that lies between the elements holds what it was filled with.
  bool has_clean_gaps() const;

  Format format;
  std::vector<int64_t> sizes, strides;

 private:
  // Where things lie in the buffer, in elements from its start.
  struct Positions {
    std::vector<int64_t> elements, gaps;
  };

  void allocate();
  void find_positions();

  int64_t count_, capacity_, offset_ = 0;
  std::shared_ptr<const Positions> positions_;  // the same for all copies
  std::unique_ptr<char[], void (*)(void*)> storage_{nullptr, std::free};
};

// Deterministic, the same on every platform.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }
  bool one_in(int64_t n) { return below(n) == 0; }
  template <typename T>
  T of(std::initializer_list<T> values) {
    return values.begin()[below(static_cast<int64_t>(values.size()))];
  }

  // Multiples of `step` in [-limit, limit].
  void fill(Array& array, double step, double limit) {
    const int64_t steps = static_cast<int64_t>(limit / step);
    for (int64_t i = 0; i < array.count(); ++i) array.set(i, step * (below(2 * steps + 1) - steps));
  }

 private:
  std::mt19937 engine_;
};
