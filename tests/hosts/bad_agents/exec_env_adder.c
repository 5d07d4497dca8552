// SPDX-License-Identifier: Apache-2.0
// Sin: adds itself to the environment that the host made for its successor.
#include <dlfcn.h>
#include <stddef.h>

int execve(const char* path, char* const arguments[], char* const environment[]) {
  int (*real)(const char*, char* const[], char* const[]);
  *(void**)&real = dlsym(RTLD_NEXT, "execve");
  char* added[64] = {(char*)"AGENT=again"};
  for (int i = 0; i < 62 && environment[i] != NULL; i++) added[i + 1] = environment[i];
  return real(path, arguments, added);
}
