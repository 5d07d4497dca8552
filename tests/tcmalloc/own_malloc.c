// SPDX-License-Identifier: Apache-2.0
// A program with a malloc of its own, exported, that knows nothing of newer names: every block that
// comes to its free must be its own.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char pool[64 << 20];
static size_t used;

static int IsOurs(const void* block) {
  return (const char*)block >= pool && (const char*)block < pool + sizeof pool;
}
void* malloc(size_t size) {
  size_t* head = (size_t*)(pool + used);
  used += (size + 31) / 16 * 16;
  *head = size;
  return (char*)head + 16;
}
void free(void* block) {
  if (block != NULL && !IsOurs(block)) abort();
}
void* calloc(size_t count, size_t size) { return memset(malloc(count * size), 0, count * size); }
void* realloc(void* block, size_t size) {
  void* fresh = malloc(size);
  if (block == NULL) return fresh;
  const size_t old = *(size_t*)((char*)block - 16);
  memcpy(fresh, block, old < size ? old : size);
  return fresh;
}

int main(void) {
  for (int i = 0; i < 1000; ++i) {
    char* text = strdup("a block of libc's making");
    text = realloc(text, 100 + (size_t)i);
    if (!IsOurs(text)) return 1;
    free(text);
  }
  puts("own malloc: done");
  return 0;
}
