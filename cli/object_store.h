// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a profiled object are: on this machine under its own path, in the cache, or to
// be fetched from the agent. Whatever is given out has the build id that the profile names. Used by
// add_lines; one thread. The cache, $XDG_CACHE_HOME/sonde/objects or ~/.cache/sonde/objects, is
// kept below kMaxCacheBytes: the longest unused go first.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sonde::cli {

inline constexpr uint64_t kMaxCacheBytes = uint64_t{2} << 30;
inline constexpr uint64_t kMaxObjectBytes = uint64_t{1} << 30;

// Piece of an object of that build id: at most `size` bytes from `offset`; shorter at its end.
using FetchPiece =
    std::function<std::string(const std::string& build_id, uint64_t offset, size_t size)>;

class ObjectStore {
 public:
  // `root` is put before paths first: "/proc/4242/root"; may be empty.
  ObjectStore(std::string root, std::vector<std::string> debug_dirs, FetchPiece fetch);

  struct Wanted {
    std::string path;      // as the process saw it
    std::string build_id;  // lower-case hex; empty: unknown
    int64_t before_unix_ns =
        0;  // without build id, a file changed later is another one; 0: unknown
  };
  struct Found {
    std::string path;
    bool is_debug_file = false;  // only what was split off: its file offsets mean nothing
  };
  // Why not, in `problem`, when there is nothing.
  std::optional<Found> Find(const Wanted& wanted, std::string* problem);
  // The ".build-id" directory that has the separate debug file of that build; the system's own
  // when none has.
  std::string DebugRoot(const std::string& build_id) const;

 private:
  std::optional<std::string> OnThisMachine(const Wanted& wanted) const;
  std::optional<std::string> DebugFile(const std::string& build_id) const;
  std::optional<std::string> Fetch(const std::string& build_id, std::string* problem);

  const std::string root_;
  const std::vector<std::string> debug_dirs_;
  const FetchPiece fetch_;
};

// Empty when neither XDG_CACHE_HOME nor HOME says where.
std::string CacheDirectory();

// Deletes the longest unused files of a directory until the rest is below `most` bytes.
void ShrinkDirectory(const std::string& directory, uint64_t most);

// Hex digits only, of a plausible length: it becomes part of paths and URLs.
bool IsBuildId(const std::string& text);

}  // namespace sonde::cli
