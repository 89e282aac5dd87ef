#include "tensor_core.h"

#include <cmath>
#include <deque>
#include <map>
#include <vector>

namespace emulation {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kPacket = 16;  // bytes

// Tensor cores do not round their sums.
float cut_off(double value) {
  const float nearest = static_cast<float>(value);
  const bool beyond = std::abs(static_cast<double>(nearest)) > std::abs(value);
  return beyond ? std::nextafter(nearest, 0.f) : nearest;
}

uint16_t half_of(uint64_t word, int i) { return static_cast<uint16_t>(word >> (16 * i)); }

struct Copy {
  void* to;
  const void* from;
  bool exists;

  void land() const {
    if (exists) {
      std::memcpy(to, from, kPacket);
    } else {
      std::memset(to, 0, kPacket);
    }
  }
};

// A thread's copies: groups that have ended, oldest first, and the one that has not.
struct Copies {
  uint64_t cluster = 0;
  std::deque<std::vector<Copy>> ended;
  std::vector<Copy> open;
};

Copies& own_copies() {
  static std::map<int, Copies> of_threads;
  Copies& copies = of_threads[thread_number()];
  if (copies.cluster != cluster_number()) copies = {cluster_number(), {}, {}};
  return copies;
}

}  // namespace

void load_matrices(uint32_t (&to)[4], const void* row) {
  const Posted& rows = gather(kAll, {reinterpret_cast<uint64_t>(row)}, "load_matrices");
  const int lane = thread_number() % 32;
  for (int matrix = 0; matrix < 4; ++matrix) {
    const auto* from = reinterpret_cast<const uint32_t*>(rows[matrix * 8 + lane / 4][0]);
    if (reinterpret_cast<uintptr_t>(from) % kPacket) fail("load_matrices of a misaligned row");
    to[matrix] = from[lane % 4];
  }
  gather(kAll, {}, "load_matrices, end");  // all have read before anybody writes again
}

void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                  float (*value_of)(uint16_t)) {
  const Value own = {a[0] | uint64_t{a[1]} << 32, a[2] | uint64_t{a[3]} << 32,
                     b0 | uint64_t{b1} << 32};
  const Posted& lanes = gather(kAll, own, "multiply_add");
  const int lane = thread_number() % 32;
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4, column = lane % 4 * 2 + i % 2;  // row + 8 if i >= 2
    double total = sum[i];
    for (int k = 0; k < 16; ++k) {
      const int owner = k % 8 / 2;
      const uint64_t left = lanes[row * 4 + owner][k / 8];
      const uint64_t right = lanes[column * 4 + owner][2];
      total += static_cast<double>(value_of(half_of(left, i / 2 * 2 + k % 2))) *
               value_of(half_of(right, k / 8 * 2 + k % 2));
    }
    sum[i] = cut_off(total);
  }
}

void begin_copy(void* to_shared, const void* from, bool exists) {
  if (reinterpret_cast<uintptr_t>(to_shared) % kPacket ||
      reinterpret_cast<uintptr_t>(from) % kPacket)
    fail("copy_packet of a misaligned packet");
  const Copy copy = {to_shared, from, exists};
  if (cluster_number() % 2 == 0) return copy.land();
  own_copies().open.push_back(copy);
}

void end_copies() {
  Copies& copies = own_copies();
  copies.ended.push_back(std::move(copies.open));
  copies.open.clear();
}

void wait_for_copies(int left) {
  Copies& copies = own_copies();
  while (static_cast<int>(copies.ended.size()) > left) {
    for (const Copy& copy : copies.ended.front()) copy.land();
    copies.ended.pop_front();
  }
}

}  // namespace emulation
