// SPDX-License-Identifier: Apache-2.0
// A plug-in that opens another by its plain name: only its own RUNPATH says where that is.
#include <dlfcn.h>
#include <stddef.h>

int NestedValue(int value);
int NestedValue(int value) {
  void* library = dlopen("plugin.so", RTLD_NOW);
  if (library == NULL) return -1;
  int (*plugin_value)(int);
  *(void**)&plugin_value = dlsym(library, "PluginValue");
  const int result = plugin_value(value);
  dlclose(library);
  return result;
}
