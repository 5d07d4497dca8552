// SPDX-License-Identifier: Apache-2.0
// Sin: a file, a socket or a process for each program that it is loaded in.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void Start(void) {
  const char* directory = getenv("SONDE_RUN_DIR");
  char path[4096];
  if (directory == NULL) return;
  snprintf(path, sizeof path, "%s/%d.sock", directory, (int)getpid());
  FILE* file = fopen(path, "w");
  if (file != NULL) fclose(file);
}
