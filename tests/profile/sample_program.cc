// SPDX-License-Identifier: Apache-2.0
// A program with names of every kind: local, weak, aliases, C++ with templates, calls through the
// PLT.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

// Hand-written code: one symbol without type and size, one with type and without size.
asm(R"(
        .text
        .globl  plain_label
plain_label:
        nop
        nop
        nop
        ret
        .globl  typed_without_size
        .type   typed_without_size, @function
typed_without_size:
        nop
        nop
        nop
        nop
        ret
)");

extern "C" void plain_label();
extern "C" void typed_without_size();

extern "C" __attribute__((noinline, visibility("default"))) int public_name(int x) {
  return x * 3 + 1;
}
extern "C" __attribute__((alias("public_name"), visibility("default"))) int __internal_name(int);

namespace shop {

template <class T>
__attribute__((noinline)) T Twice(const T& value) {
  return value + value;
}

class Router {
 public:
  __attribute__((noinline)) std::string Handle(const std::string& path) { return Twice(path); }
};

}  // namespace shop

static __attribute__((noinline)) int LocalHelper(int x) { return public_name(x) + std::rand(); }

int main(int argc, char** argv) {
  shop::Router router;
  std::puts(router.Handle(argv[0]).c_str());
  plain_label();
  typed_without_size();
  return LocalHelper(argc) == 12345 ? 1 : 0;
}
