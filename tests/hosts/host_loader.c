// SPDX-License-Identifier: Apache-2.0
// Hosts that load and unload libraries in every way.
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static const char* PathOf(const char* name) {
  static char path[4200];
  snprintf(path, sizeof path, "%s", host_argv[0]);
  char* slash = strrchr(path, '/');
  snprintf(slash != NULL ? slash + 1 : path, 100, "plugins/%s", name);
  return path;
}

typedef int (*Value)(int);

static Value Find(void* library, const char* name) {
  Value value = NULL;
  if (library != NULL) *(void**)&value = dlsym(library, name);
  return value;
}

static volatile bool burning = true;

static void* BurnBeside(void* unused) {
  while (burning) Burn(2);
  return unused;
}

HOST_CASE(dlopen_and_dlclose_storm, dlopen_hook, fast) {
  pthread_t burner;
  pthread_create(&burner, NULL, BurnBeside, NULL);
  int right = 0, unloaded = 0;
  for (int i = 0; i < 200; i++) {
    void* library = dlopen(PathOf("nested.so"), i % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_GLOBAL);
    const Value nested = Find(library, "NestedValue");
    right += nested != NULL && nested(i) == i + 1;
    if (library != NULL) dlclose(library);
    library = dlopen(PathOf("nested.so"), RTLD_NOW | RTLD_NOLOAD);
    unloaded += library == NULL;
    if (library != NULL) dlclose(library);
  }
  burning = false;
  pthread_join(burner, NULL);
  Say("right %d, unloaded %d", right, unloaded);
  return 0;
}

HOST_CASE(runpath_of_the_caller_is_used, dlopen_hook, fast) {
  void* library = dlopen(PathOf("nested.so"), RTLD_NOW);
  const Value nested = Find(library, "NestedValue");
  Say("nested: %d", nested != NULL ? nested(6) : -2);
  Say("not found from here: %d", dlopen("plugin.so", RTLD_NOW) == NULL);
  Say("error: %s", dlerror() != NULL ? "said" : "FAILED: none");
  Say("no error left: %d", dlerror() == NULL);
  return 0;
}

HOST_CASE(plugin_in_a_name_space_of_its_own, dlmopen_refuser, fast) {
  for (int i = 0; i < 5; i++) {
    void* library = dlmopen(LM_ID_NEWLM, PathOf("plugin.so"), RTLD_NOW);
    const Value value = Find(library, "PluginValue");
    Burn(20);
    Say("dlmopen: %d and %d", value != NULL ? value(1) : -2, value != NULL ? value(-1) : -2);
    if (library != NULL) dlclose(library);
  }
  return 0;
}

HOST_CASE(deep_binding_plugin_frees_our_block, arena_allocator, fast) {
  void* library = dlopen(PathOf("plugin.so"), RTLD_NOW | RTLD_DEEPBIND);
  void (*plugin_free)(void*);
  void* (*plugin_allocate)(size_t);
  *(void**)&plugin_free = dlsym(library, "PluginFree");
  *(void**)&plugin_allocate = dlsym(library, "PluginAllocate");
  int whole = 0;
  for (size_t size = 1; size < 300000; size += 991) {
    char* block = malloc(size);
    memset(block, 1, size);
    plugin_free(block);
    block = plugin_allocate(size);
    memset(block, 2, size);
    free(block);
    whole++;
  }
  Say("exchanged %d blocks, caught %d", whole, Find(library, "PluginValue")(-5));
  dlclose(library);
  return 0;
}

static int CountObject(struct dl_phdr_info* info, size_t size, void* count) {
  (void)size;
  *(int*)count += strstr(info->dlpi_name, "plugin.so") != NULL;
  return 0;
}

HOST_CASE(symbols_resolve_as_before, dlopen_hook, fast) {
  void* next = dlsym(RTLD_NEXT, "malloc_usable_size");
  Say("next malloc_usable_size %d, default %d", next != NULL,
      dlsym(RTLD_DEFAULT, "malloc_usable_size") != NULL);
  Say("nothing: %d", dlsym(RTLD_DEFAULT, "no_such_symbol_anywhere") == NULL);
  Say("versioned: %d", dlvsym(RTLD_DEFAULT, "pthread_create", "GLIBC_2.34") != NULL);
  static const char* const kAllocators[] = {
      "mallctl",   "malloc_stats_print", "MallocExtension_GetNumericProperty",
      "je_malloc", "tc_malloc",          "__malloc_hook"};
  for (size_t i = 0; i < sizeof kAllocators / sizeof kAllocators[0]; i++) {
    Say("%s: %d", kAllocators[i], dlsym(RTLD_DEFAULT, kAllocators[i]) != NULL);
  }
  void* library = dlopen(PathOf("plugin.so"), RTLD_NOW);
  Dl_info info;
  int count = 0;
  dl_iterate_phdr(CountObject, &count);
  Say("in the list %d, by address %d", count, dladdr((void*)Find(library, "PluginValue"), &info));
  dlclose(library);
  return 0;
}

// More static TLS in a preloaded library than its share, and a plug-in that needs some is refused.
HOST_CASE(static_tls_reserve_is_left, tls_hog, fast) {
  void* library = dlopen(PathOf("static_tls.so"), RTLD_NOW);
  if (library == NULL)
    Say("refused: %s", strstr(dlerror(), "static TLS") != NULL ? "no static TLS left" : "?");
  const Value value = Find(library, "StaticTlsValue");
  Say("static TLS: %d", value != NULL ? value(3) : -2);
  return 0;
}

static int OpenPlugin(void* unused) {
  (void)unused;
  return dlopen(PathOf("static_tls.so"), RTLD_NOW) != NULL ? 15 : 16;
}

// Has just been started, so an agent looks at its objects now, and at those that are opened later.
HOST_ROLE(fork_at_once) {
  const int64_t end = WallMs() + 200;
  void* library = dlopen(PathOf("nested.so"), RTLD_NOW);
  int children = 0, good = 0;
  while (WallMs() < end) {
    if (children++ % 40 == 20) library = dlopen(PathOf("plugin.so"), RTLD_NOW);
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(4);  // a child that waits for a lock which nobody holds dies instead of hanging
      _exit(OpenPlugin(NULL));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    good += WIFEXITED(status) && WEXITSTATUS(status) == 15;
    if (!WIFEXITED(status)) break;
  }
  return good == children && library != NULL ? 17 : 18;
}

static int ExecForker(void* unused) {
  (void)unused;
  ExecRole("fork_at_once", NULL);
}

// fork copies the loader's lock as it is: a thread of the agent that holds it just then hangs the
// child for ever.
HOST_CASE(fork_at_any_moment_then_dlopen, loader_lock_holder, fast) {
  for (int i = 0; i < 3; i++)
    SayStatus("forked from the first moment on", InChild(ExecForker, NULL));
  return 0;
}
