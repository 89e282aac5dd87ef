// The scheduler behind cuda_emulation.h. A fiber runs thread after thread of a block until one of
// them waits; then another fiber goes on with the next.
#include "cuda_emulation.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "check_launch.h"
#include "fiber.h"
#include "shared_memory.h"

dim3 gridDim, blockDim;
uint3 blockIdx, threadIdx;

namespace emulation {
namespace {

constexpr int kWarp = 32;

enum class State { kRuns, kAtBarrier, kAtClusterBarrier, kInShuffle, kExited };

struct Thread {
  State state = State::kRuns;
  Fiber* fiber = nullptr;
  const char* place = "";  // of the barrier or shuffle
  unsigned mask = 0;       // of the shuffle
  Value value = {};        // posted
  const Posted* received = nullptr;
  unsigned lanes = 0;  // that have posted
};

const std::function<void()>* body;
std::vector<Thread> threads;
int started;                // threads that have a fiber, or had one
std::vector<int> runnable;  // threads whose wait is over, the next one last
bool descending, eager;     // see cuda_emulation.h
uint64_t clusters_run;
int block_size;        // threads of a block; a cluster's blocks follow one another in `threads`
unsigned first_block;  // of the running cluster

Fiber host;  // the caller of launch()
Fiber* running = &host;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;

bool differ(const char* a, const char* b) { return a != b && std::strcmp(a, b) != 0; }
int count() { return static_cast<int>(threads.size()); }
int in_order(int i) { return descending ? count() - 1 - i : i; }

void enter(int thread) {
  running->thread = thread;
  const unsigned i = static_cast<unsigned>(thread % block_size);
  const unsigned block = first_block + static_cast<unsigned>(thread / block_size);
  blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / (gridDim.x * gridDim.y)};
  threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
}

void switch_to(Fiber* next) {
  Fiber* self = running;
  running = next;
  next->switch_from(*self);
  if (self->thread >= 0) enter(self->thread);
}

Fiber* next_fiber();

void run_threads() {
  for (;;) {
    while (started < count()) {
      const int thread = in_order(started++);
      threads[thread].fiber = running;
      enter(thread);
      (*body)();
      threads[running->thread].state = State::kExited;
    }
    running->thread = -1;
    idle.push_back(running);
    switch_to(next_fiber());
  }
}

void run_next(int thread) {
  threads[thread].state = State::kRuns;
  runnable.push_back(thread);
}

// Of threads [begin, end). Exited ones count as arrived.
void release_barrier(State barrier, int begin, int end) {
  const Thread* first = nullptr;
  for (int i = begin; i < end; ++i) {
    const Thread& t = threads[i];
    if (t.state == State::kExited) continue;
    if (t.state != barrier) return;
    if (first && differ(first->place, t.place)) {
      fail("threads wait at different barriers, %s and %s", first->place, t.place);
    }
    first = &t;
  }
  for (int i = count(); i-- > 0;) {
    const int thread = in_order(i);
    const bool is_in = thread >= begin && thread < end;
    if (is_in && threads[thread].state == barrier) run_next(thread);
  }
}

// The lanes of one thread's mask that have not exited, if all of them wait in its shuffle; else
// none.
unsigned gathered_lanes(int thread) {
  const Thread& self = threads[thread];
  const int warp = thread / kWarp * kWarp;
  unsigned lanes = 0;
  for (int i = warp; i < std::min(warp + kWarp, count()); ++i) {
    const Thread& t = threads[i];
    if (!(self.mask >> (i - warp) & 1u) || t.state == State::kExited) continue;
    if (t.state != State::kInShuffle || t.mask != self.mask) return 0;
    if (differ(t.place, self.place)) return 0;
    lanes |= 1u << (i - warp);
  }
  return lanes;
}

// What lanes receive is kept until they have read it: a warp gets no further before.
void release_shuffle(int thread) {
  static std::array<Posted, 1024> received;
  static unsigned next = 0;
  const unsigned lanes = gathered_lanes(thread);
  if (lanes == 0) return;
  Posted& posted = received[next++ % received.size()];
  for (int lane = 0; lane < kWarp; ++lane) {
    if (!(lanes >> lane & 1u)) continue;
    const int own = thread / kWarp * kWarp + lane;
    posted[lane] = threads[own].value;
    threads[own].received = &posted, threads[own].lanes = lanes;
    run_next(own);
  }
}

[[noreturn]] void report_deadlock() {
  std::map<std::string, int> places;
  for (const Thread& t : threads) ++places[t.state == State::kExited ? "their end" : t.place];
  std::string where;
  for (const auto& [place, size] : places) {
    where += (where.empty() ? "" : ", ") + std::to_string(size) + " at " + place;
  }
  fail("deadlock, threads wait for others that never come: %s", where.c_str());
}

// Every thread has exited or waits: ends the waits that can end.
void release() {
  bool waiting = false;
  for (int i = 0; i < count(); ++i) {
    waiting |= threads[i].state != State::kExited;
    if (threads[i].state == State::kInShuffle) release_shuffle(i);
  }
  static int turn = 0;  // a cluster's blocks go on one by one, each time another one first
  for (int i = 0, blocks = count() / block_size; i < blocks && runnable.empty(); ++i) {
    const int begin = (turn + i) % blocks * block_size;
    release_barrier(State::kAtBarrier, begin, begin + block_size);
  }
  ++turn;
  if (runnable.empty()) release_barrier(State::kAtClusterBarrier, 0, count());
  if (runnable.empty() && waiting) report_deadlock();
}

// Who goes on when the running fiber cannot: the host once all threads have exited.
Fiber* next_fiber() {
  if (runnable.empty() && started < count()) {
    if (idle.empty()) {
      fibers.push_back(std::make_unique<Fiber>(run_threads));
      return fibers.back().get();
    }
    Fiber* fiber = idle.back();
    idle.pop_back();
    return fiber;
  }
  if (runnable.empty()) release();
  if (runnable.empty()) return &host;
  const int thread = runnable.back();
  runnable.pop_back();
  return threads[thread].fiber;
}

Thread& wait(State state, const char* place) {
  Thread& self = threads[running->thread];
  self.state = state, self.place = place;
  if (eager && state == State::kInShuffle) release_shuffle(running->thread);
  switch_to(next_fiber());
  return self;
}

void run_cluster() {
  threads.assign(count(), Thread{});
  ++clusters_run;
  started = 0;
  switch_to(next_fiber());
}

std::set<const void*> kernels;

}  // namespace

const std::set<const void*>& launched_kernels() { return kernels; }
int thread_number() { return running->thread; }
int rank_in_cluster() { return running->thread / block_size; }
uint64_t cluster_number() { return clusters_run; }

void barrier(const char* place) { wait(State::kAtBarrier, place); }
void cluster_barrier(const char* place) { wait(State::kAtClusterBarrier, place); }

const Posted& gather(unsigned mask, const Value& value, const char* place) {
  const int thread = running->thread;
  if (!(mask >> thread % kWarp & 1u))
    fail("thread %d is not in the mask of its shuffle at %s", thread, place);
  threads[thread].mask = mask, threads[thread].value = value;
  return *wait(State::kInShuffle, place).received;
}

uint64_t exchange(unsigned mask, uint64_t value, int lane_mask, const char* place) {
  const int source = running->thread % kWarp ^ lane_mask;
  if (lane_mask < 0 || lane_mask >= kWarp) fail("lane mask %d at %s", lane_mask, place);
  const Posted& posted = gather(mask, {value}, place);
  const Thread& self = threads[running->thread];
  if (!(self.lanes >> source & 1u)) {
    fail("thread %d reads lane %d in the shuffle at %s, which is not there", running->thread,
         source, place);
  }
  return posted[source][0];
}

void launch(const cudaLaunchConfig_t& config, const void* kernel,
            const std::function<void()>& thread) {
  const unsigned cluster = check_launch(config);
  kernels.insert(kernel);
  fill_static_shared();
  allocate_dynamic_shared(kernel, config.dynamicSmemBytes, cluster);
  gridDim = config.gridDim, blockDim = config.blockDim, body = &thread;
  static unsigned turn = 0;
  descending = turn & 1, eager = turn++ & 2;
  block_size = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
  threads.resize(static_cast<size_t>(block_size) * cluster);
  const uint64_t blocks = uint64_t{gridDim.x} * gridDim.y * gridDim.z;
  for (uint64_t i = 0; i < blocks; i += cluster) {
    first_block = static_cast<unsigned>(descending ? blocks - cluster - i : i);
    run_cluster();
  }
}

}  // namespace emulation
