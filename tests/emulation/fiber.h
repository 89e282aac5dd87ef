// Stacks to switch between, as AddressSanitizer must be told of them.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>

namespace emulation {

class Fiber {
 public:
  Fiber() = default;               // the stack its user is on
  explicit Fiber(void (*main)());  // one of its own; main never returns
  Fiber(const Fiber&) = delete;

  // Stops `from`, which runs, until somebody switches back to it.
  void switch_from(Fiber& from);

  int thread = -1;  // the thread whose body it is in; -1: none

 private:
  static void enter();
  void arrive();
  void resume();

  ucontext_t start_;    // where it begins
  void* registers_[5];  // where it stopped, as __builtin_setjmp keeps it
  void (*main_)() = nullptr;
  std::unique_ptr<char[]> own_stack_;
  const void* stack_ = nullptr;
  size_t stack_size_ = 0;
  void* asan_stack_ = nullptr;
  bool has_begun_ = true;
};

}  // namespace emulation
