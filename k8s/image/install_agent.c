// SPDX-License-Identifier: Apache-2.0
// install-agent: the whole program of the init container. Copies the agent, with and without an
// allocator, into a volume, once for every directory that a glibc may put in place of $LIB in
// LD_PRELOAD=/opt/sonde/$LIB/libsonde.so. Static, so that the image needs nothing else. Run again,
// it replaces each file by rename, so a process that has the old one mapped keeps it.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What may be preloaded; the image has them for 64 bits.
static const char* const kLibraries[] = {"libsonde.so", "libsonde-tcmalloc.so"};
// A 32-bit program expands $LIB too. It finds a library without code there: a missing file, or one
// of the other word size, would make its loader print an error into the output of the program.
static const char kEmpty32[] = "libsonde32.so";

struct Entry {
  const char* directory;
  const char* link_to;  // the directory that has the files, as seen from this one; null: this one
  int is_32bit;
};

static const struct Entry kLayout[] = {
    {"lib", "x86_64-linux-gnu", 0},           // Arch, Nix: lib is 64-bit
    {"lib/x86_64-linux-gnu", NULL, 0},        // Debian, Ubuntu, distroless
    {"lib64", "../lib/x86_64-linux-gnu", 0},  // Red Hat, SUSE, Gentoo
    {"lib/i386-linux-gnu", NULL, 1},          // Debian, 32-bit
    {"lib32", "../lib/i386-linux-gnu", 1},    // Arch, 32-bit
};
static const struct Entry k32BitLib = {"lib", "i386-linux-gnu", 1};  // Red Hat, SUSE

static void Fail(const char* action, const char* path) {
  fprintf(stderr, "install-agent: cannot %s %s: %s\n", action, path, strerror(errno));
  if (errno == EACCES || errno == EROFS)
    fprintf(stderr, "install-agent: expected a volume that uid %u may write\n", (unsigned)getuid());
  exit(1);
}

static const char* Join(char* out, const char* directory, const char* name) {
  const int length = snprintf(out, PATH_MAX, "%s/%s", directory, name);
  if (length < 0 || length >= PATH_MAX) {
    errno = ENAMETOOLONG;
    Fail("use", directory);
  }
  return out;
}

static void CopyBytes(int from, int to, const char* from_path, const char* to_path) {
  static char buffer[1 << 16];
  ssize_t got;
  while ((got = read(from, buffer, sizeof buffer)) > 0) {
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = write(to, buffer + done, (size_t)(got - done));
      if (put < 0) Fail("write", to_path);
      done += put;
    }
  }
  if (got < 0) Fail("read", from_path);
}

static void Copy(const char* from_path, const char* to_path) {
  const int from = open(from_path, O_RDONLY | O_CLOEXEC);
  if (from < 0) Fail("open", from_path);
  const int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (to < 0) Fail("create", to_path);
  if (fchmod(to, 0644) != 0)
    Fail("make readable", to_path);  // whatever the umask: another uid reads it
  CopyBytes(from, to, from_path, to_path);
  if (close(to) != 0) Fail("write", to_path);
  close(from);
}

static void MakeDirectory(const char* path) {
  if (mkdir(path, 0755) == 0) {
    if (chmod(path, 0755) != 0) Fail("make readable", path);
  } else if (errno != EEXIST) {
    Fail("create", path);
  }
}

static void InstallLibrary(const struct Entry* entry, const char* from, const char* to,
                           const char* library) {
  char directory[PATH_MAX], source[PATH_MAX], path[PATH_MAX], temporary[PATH_MAX];
  Join(directory, to, entry->directory);
  Join(path, directory, library);
  Join(temporary, directory, ".sonde.new");
  if (unlink(temporary) != 0 && errno != ENOENT) Fail("replace", temporary);
  if (entry->link_to == NULL) {
    Copy(Join(source, from, entry->is_32bit ? kEmpty32 : library), temporary);
  } else if (symlink(Join(source, entry->link_to, library), temporary) != 0) {
    Fail("create", temporary);
  }
  if (rename(temporary, path) != 0) Fail("create", path);
}

static void Install(const struct Entry* entry, const char* from, const char* to) {
  char directory[PATH_MAX];
  MakeDirectory(Join(directory, to, entry->directory));
  for (size_t i = 0; i < sizeof kLibraries / sizeof kLibraries[0]; ++i) {
    InstallLibrary(entry, from, to, kLibraries[i]);
  }
}

int main(int argc, char** argv) {
  const int lib_is_32bit = argc > 1 && strcmp(argv[1], "--lib-is-32bit") == 0;
  if (argc - lib_is_32bit != 3) {
    fprintf(
        stderr,
        "usage: install-agent [--lib-is-32bit] FROM TO\n"
        "Copies FROM/libsonde.so, FROM/libsonde-tcmalloc.so and FROM/libsonde32.so into the\n"
        "directory TO, laid out for $LIB.\n"
        "--lib-is-32bit: 32-bit programs of the image expand $LIB to \"lib\" (Red Hat, SUSE)\n");
    return 2;
  }
  const char* from = argv[argc - 2];
  const char* to = argv[argc - 1];
  for (size_t i = 0; i < sizeof kLayout / sizeof kLayout[0]; ++i) {
    const int is_lib = strcmp(kLayout[i].directory, k32BitLib.directory) == 0;
    Install(is_lib && lib_is_32bit ? &k32BitLib : &kLayout[i], from, to);
  }
  printf("install-agent: agent is in %s\n", to);
  return 0;
}
