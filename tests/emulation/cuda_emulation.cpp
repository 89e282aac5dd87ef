// The scheduler behind cuda_emulation.h. A fiber runs thread after thread of a block until one of
// them waits; then another fiber goes on with the next. A kernel without barriers and shuffles
// needs a single fiber.
#include "cuda_emulation.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dynamic_shared.h"
#include "fiber.h"

dim3 gridDim, blockDim;
uint3 blockIdx, threadIdx;

extern char __start_cuda_shared[] __attribute__((weak));
extern char __stop_cuda_shared[] __attribute__((weak));

namespace emulation {
namespace {

constexpr int kWarp = 32, kMaxThreads = 1024;

enum class State { kRuns, kAtBarrier, kInShuffle, kExited };

struct Thread {
  State state = State::kRuns;
  Fiber* fiber = nullptr;
  const char* place = "";  // of the barrier or shuffle
  unsigned mask = 0;       // of the shuffle
  uint64_t value = 0;      // posted
  Posted received = {};
  unsigned lanes = 0;  // that have posted
};

const std::function<void()>* body;
std::vector<Thread> threads;
int started;                // threads that have a fiber, or had one
std::vector<int> runnable;  // threads whose wait is over, the next one last
bool descending, eager;     // see cuda_emulation.h

uint64_t blocks_run = 0;

Fiber host;  // the caller of launch()
Fiber* running = &host;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;

int count() { return static_cast<int>(threads.size()); }
int in_order(int i) { return descending ? count() - 1 - i : i; }

void enter(int thread) {
  running->thread = thread;
  const unsigned i = static_cast<unsigned>(thread);
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

bool same(const char* a, const char* b) { return std::strcmp(a, b) == 0; }

// Exited threads count as arrived.
void release_barrier() {
  const Thread* first = nullptr;
  for (const Thread& t : threads) {
    if (t.state == State::kExited) continue;
    if (t.state != State::kAtBarrier) return;
    if (first && !same(first->place, t.place)) {
      fail("threads wait at different barriers, %s and %s", first->place, t.place);
    }
    first = &t;
  }
  for (int i = count(); i-- > 0;) {
    if (threads[in_order(i)].state == State::kAtBarrier) run_next(in_order(i));
  }
}

// The lanes of one thread's mask that have not exited, if all of them wait in its shuffle.
std::vector<int> gathered_lanes(int thread) {
  const Thread& self = threads[thread];
  std::vector<int> lanes;
  const int warp = thread / kWarp * kWarp;
  for (int i = warp; i < std::min(warp + kWarp, count()); ++i) {
    const Thread& t = threads[i];
    if (!(self.mask >> (i - warp) & 1u) || t.state == State::kExited) continue;
    const bool here = t.state == State::kInShuffle && t.mask == self.mask;
    if (!here || !same(t.place, self.place)) return {};
    lanes.push_back(i);
  }
  return lanes;
}

void release_shuffle(int thread) {
  const std::vector<int> lanes = gathered_lanes(thread);
  Posted received = {};
  unsigned present = 0;
  for (const int lane : lanes) {
    received[lane % kWarp] = threads[lane].value;
    present |= 1u << lane % kWarp;
  }
  for (const int lane : lanes) {
    threads[lane].received = received, threads[lane].lanes = present;
    run_next(lane);
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
  if (runnable.empty()) release_barrier();
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

void run_block() {
  threads.assign(count(), Thread{});
  ++blocks_run;
  started = 0;
  switch_to(next_fiber());
}

// All bits set: NaN as a float, -1 as an integer. The red zones between the arrays may be written.
__attribute__((no_sanitize_address)) void fill_shared_memory() {
  for (volatile char* byte = __start_cuda_shared; byte < __stop_cuda_shared; ++byte) *byte = -1;
}

std::set<const void*> kernels;

}  // namespace

const std::set<const void*>& launched_kernels() { return kernels; }
int thread_number() { return running->thread; }
uint64_t block_number() { return blocks_run; }

void barrier(const char* place) { wait(State::kAtBarrier, place); }

Posted gather(unsigned mask, uint64_t value, const char* place) {
  const int thread = running->thread;
  if (!(mask >> thread % kWarp & 1u))
    fail("thread %d is not in the mask of its shuffle at %s", thread, place);
  threads[thread].mask = mask, threads[thread].value = value;
  return wait(State::kInShuffle, place).received;
}

uint64_t exchange(unsigned mask, uint64_t value, int lane_mask, const char* place) {
  const int source = running->thread % kWarp ^ lane_mask;
  if (lane_mask < 0 || lane_mask >= kWarp) fail("lane mask %d at %s", lane_mask, place);
  const Posted posted = gather(mask, value, place);
  const Thread& self = threads[running->thread];
  if (!(self.lanes >> source & 1u)) {
    fail("thread %d reads lane %d in the shuffle at %s, which is not there", running->thread,
         source, place);
  }
  return posted[source];
}

void launch(const cudaLaunchConfig_t& config, const void* kernel,
            const std::function<void()>& thread) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const uint64_t size = uint64_t{block.x} * block.y * block.z;
  if (size == 0) fail("a block of no threads");
  if (size > kMaxThreads || block.z > 64)
    fail("a block of %u x %u x %u threads", block.x, block.y, block.z);
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) fail("an empty grid");
  if (grid.x > 0x7fffffffu || grid.y > 0xffffu || grid.z > 0xffffu) fail("too many blocks");
  allocate_dynamic_shared(kernel, config.dynamicSmemBytes);
  kernels.insert(kernel);
  fill_shared_memory();
  gridDim = grid, blockDim = block, body = &thread;
  static unsigned turn = 0;
  descending = turn & 1, eager = turn++ & 2;
  threads.resize(size);
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; ++i) {
    const unsigned at = static_cast<unsigned>(descending ? blocks - 1 - i : i);
    blockIdx = {at % grid.x, at / grid.x % grid.y, at / (grid.x * grid.y)};
    run_block();
  }
}

}  // namespace emulation
