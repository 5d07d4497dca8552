// SPDX-License-Identifier: Apache-2.0
#include "agent/life/run_dir.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constinit char g_runtime_dir[200] = {};
constinit bool g_in_pod = false;  // the environment has what every pod is given

unsigned EffectiveUid() { return static_cast<unsigned>(sys::Call(SYS_geteuid)); }

// Neither a link nor somebody else's directory: /tmp is everybody's.
bool IsOurs(const char* path) {
  struct stat found {};
  if (sys::Failed(sys::Call(SYS_newfstatat, AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW)))
    return false;
  return S_ISDIR(found.st_mode) && found.st_uid == EffectiveUid() && (found.st_mode & 0022) == 0;
}

bool MakeOurs(const std::string& path) {
  sys::Call(SYS_mkdirat, AT_FDCWD, path.c_str(), 0700);
  return IsOurs(path.c_str());
}

// By the calls that the loader has just made: asked under a filter that may kill for any other.
bool Exists(const char* path) {
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
  if (sys::Failed(fd)) return false;
  sys::Call(SYS_close, fd);
  return true;
}

// A directory that was named is taken as it is: a volume has the owner and mode that the cluster
// gives it.
bool IsWritable(const char* path) {
  constexpr int kWriteAndSearch = 3;
  return !sys::Failed(sys::Call(SYS_faccessat, AT_FDCWD, path, kWriteAndSearch));
}

}  // namespace

std::string RunDirectory(const char* wanted) {
  if (wanted[0] != 0) {
    sys::Call(SYS_mkdirat, AT_FDCWD, wanted, 0700);
    return IsWritable(wanted) ? wanted : "";
  }
  if (MakeOurs("/run/sonde")) return "/run/sonde";
  std::string user = std::string(g_runtime_dir) + "/sonde";
  if (g_runtime_dir[0] == '/' && MakeOurs(user)) return user;
  std::string temporary = "/tmp/sonde-" + std::to_string(EffectiveUid());
  return MakeOurs(temporary) ? temporary : "";
}

bool InsideContainer() {
  if (g_in_pod || sys::Getpid() == 1) return true;
  for (const char* mark : {"/.dockerenv", "/run/.containerenv", "/run/secrets/kubernetes.io",
                           "/var/run/secrets/kubernetes.io"}) {
    if (Exists(mark)) return true;
  }
  return false;
}

void RememberEnvironment(const char* const* environment) {
  constexpr char kRuntimeDir[] = "XDG_RUNTIME_DIR=";
  constexpr char kPod[] = "KUBERNETES_SERVICE_HOST=";
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    g_in_pod = g_in_pod || strncmp(*environment, kPod, sizeof kPod - 1) == 0;
    if (strncmp(*environment, kRuntimeDir, sizeof kRuntimeDir - 1) != 0) continue;
    const char* value = *environment + sizeof kRuntimeDir - 1;
    if (strlen(value) < sizeof g_runtime_dir) memcpy(g_runtime_dir, value, strlen(value) + 1);
  }
}

}  // namespace sonde::life
