// SPDX-License-Identifier: Apache-2.0
// Preloaded: the agent's thread, when something that it has called goes through the loader's list
// of objects, keeps the list's lock for long.
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

typedef int Callback(struct dl_phdr_info*, size_t, void*);

struct Wrapped {
  Callback* callback;
  void* data;
  int slow;
};

static int Call(struct dl_phdr_info* info, size_t size, void* data) {
  struct Wrapped* wrapped = data;
  const struct timespec pause = {0, 20000000};
  if (wrapped->slow) nanosleep(&pause, NULL);
  wrapped->slow = 0;
  return wrapped->callback(info, size, wrapped->data);
}

__attribute__((visibility("default"))) int dl_iterate_phdr(Callback* callback, void* data) {
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  struct Wrapped wrapped = {callback, data, strcmp(name, "sonde") == 0};
  int (*next)(Callback*, void*) =
      (int (*)(Callback*, void*))(size_t)dlsym(RTLD_NEXT, "dl_iterate_phdr");
  return next(Call, &wrapped);
}
