// SPDX-License-Identifier: Apache-2.0
// What headers and static libraries of the build machine expect of libc and glibc 2.17 does not
// have. An archive member: in libsonde.so only where something refers to it, and hidden there.
// Thread-safe.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "collectors/safe/sys.h"

namespace {

template <typename T>
T OrErrno(long result) {
  if (!sonde::sys::Failed(result)) return static_cast<T>(result);
  errno = static_cast<int>(-result);
  return static_cast<T>(-1);
}

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): names that libc gives.
extern "C" {

// libstdc++ skips atomic operations where this is non-zero. We never know, so never.
char __libc_single_threaded = 0;

// Functions of their own only since glibc 2.33. On x86-64 the kernel's struct stat is libc's.
int stat(const char* path, struct stat* result) noexcept {
  return OrErrno<int>(sonde::sys::Call(SYS_stat, path, result));
}
int lstat(const char* path, struct stat* result) noexcept {
  return OrErrno<int>(sonde::sys::Call(SYS_lstat, path, result));
}
int fstat(int fd, struct stat* result) noexcept {
  return OrErrno<int>(sonde::sys::Call(SYS_fstat, fd, result));
}
int fstatat(int dir, const char* path, struct stat* result, int flags) noexcept {
  return OrErrno<int>(sonde::sys::Call(SYS_newfstatat, dir, path, result, flags));
}

ssize_t getrandom(void* buffer, size_t size, unsigned flags) noexcept {
  return OrErrno<ssize_t>(sonde::sys::Call(SYS_getrandom, buffer, size, flags));
}

int getentropy(void* buffer, size_t size) noexcept {
  if (size > 256) {
    errno = EIO;
    return -1;
  }
  const long got = sonde::sys::Call(SYS_getrandom, buffer, size, 0);
  if (got >= 0 && static_cast<size_t>(got) == size) return 0;
  errno = got < 0 ? static_cast<int>(-got) : EIO;
  return -1;
}

// Serves std::random_device, which has no way to learn of a failure: a kernel without getrandom
// (before 3.17) gets bits of the cycle counter. Nothing of ours that needs a secret uses it.
uint32_t arc4random() noexcept {
  uint32_t value = 0;
  if (getentropy(&value, sizeof(value)) == 0) return value;
  return static_cast<uint32_t>(__builtin_ia32_rdtsc() * 0x9e3779b97f4a7c15 >> 32);
}

// Headers of glibc 2.38 and later rename the strto* family. The assembler names reach the old ones
// whatever the header says.
unsigned long sonde_strtoul(const char*, char**, int) asm("strtoul");
unsigned long long sonde_strtoull(const char*, char**, int) asm("strtoull");
long sonde_strtol(const char*, char**, int) asm("strtol");
long long sonde_strtoll(const char*, char**, int) asm("strtoll");

unsigned long __isoc23_strtoul(const char* text, char** end, int base) {
  return sonde_strtoul(text, end, base);
}
unsigned long long __isoc23_strtoull(const char* text, char** end, int base) {
  return sonde_strtoull(text, end, base);
}
long __isoc23_strtol(const char* text, char** end, int base) {
  return sonde_strtol(text, end, base);
}
long long __isoc23_strtoll(const char* text, char** end, int base) {
  return sonde_strtoll(text, end, base);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
