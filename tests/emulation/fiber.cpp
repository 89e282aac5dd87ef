#include "fiber.h"

#include <sanitizer/common_interface_defs.h>

namespace emulation {
namespace {

constexpr size_t kStackSize = 256 * 1024;
Fiber *left, *entered;  // of the switch that was last

}  // namespace

Fiber::Fiber(void (*main)())
    : main_(main),
      own_stack_(new char[kStackSize]),
      stack_(own_stack_.get()),
      stack_size_(kStackSize),
      has_begun_(false) {
  getcontext(&start_);
  start_.uc_stack.ss_sp = own_stack_.get();
  start_.uc_stack.ss_size = kStackSize;
  makecontext(&start_, enter, 0);
}

void Fiber::enter() {
  Fiber* self = entered;
  self->arrive();
  self->main_();
}

void Fiber::arrive() {
  __sanitizer_finish_switch_fiber(asan_stack_, &left->stack_, &left->stack_size_);
}

// Contexts would ask the kernel for the signal mask at every switch: they only begin a fiber. Nor
// may ASan see the jump, before which it would clean all of the stack.
__attribute__((noinline, no_sanitize("address", "undefined"))) void Fiber::resume() {
  if (has_begun_) __builtin_longjmp(registers_, 1);
  has_begun_ = true;
  setcontext(&start_);
}

void Fiber::switch_from(Fiber& from) {
  if (this == &from) return;
  left = &from, entered = this;
  __sanitizer_start_switch_fiber(&from.asan_stack_, stack_, stack_size_);
  if (!__builtin_setjmp(from.registers_)) resume();
  from.arrive();
}

}  // namespace emulation
