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
      stack_size_(kStackSize) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = own_stack_.get();
  context_.uc_stack.ss_size = kStackSize;
  makecontext(&context_, enter, 0);
  // ASan would wipe the red zones of a stack it finds here, at every switch. It knows the stack.
  context_.uc_stack.ss_size = 0;
}

void Fiber::enter() {
  Fiber* self = entered;
  self->arrive();
  self->main_();
}

void Fiber::arrive() {
  __sanitizer_finish_switch_fiber(asan_stack_, &left->stack_, &left->stack_size_);
}

void Fiber::switch_from(Fiber& from) {
  if (this == &from) return;
  left = &from, entered = this;
  __sanitizer_start_switch_fiber(&from.asan_stack_, stack_, stack_size_);
  swapcontext(&from.context_, &context_);
  from.arrive();
}

}  // namespace emulation
