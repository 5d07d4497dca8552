// SPDX-License-Identifier: Apache-2.0
// A plug-in that allocates wherever it can: while it is loaded and unloaded, and in the destructor
// of a thread-local object. Built twice, so that each takes the other's place.
#include <stdlib.h>

namespace {

void* Touch(void* block) {
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}

class Holder {
 public:
  Holder() : block_(Touch(malloc(3000))) {}
  ~Holder() {
    block_ = Touch(realloc(block_, 9000));
    free(Touch(calloc(7, 100)));
    free(block_);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  void* block() const { return block_; }

 private:
  void* block_;
};

const Holder g_of_object;
thread_local const Holder t_of_thread;

}  // namespace

extern "C" __attribute__((visibility("default"))) bool StormPluginWorks() {
  return g_of_object.block() != nullptr && t_of_thread.block() != nullptr;
}
