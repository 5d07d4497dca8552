// SPDX-License-Identifier: Apache-2.0
#include "cli/object_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <utility>

#include "cli/outcome.h"
#include "profile/elf_file.h"

namespace sonde::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr const char* kSystemDebugDir = "/usr/lib/debug";

// nullopt: not a readable object.
std::optional<std::string> BuildIdOf(const std::string& path) {
  auto source = OpenFile(path);
  if (!source.ok()) return std::nullopt;
  auto elf = ElfFile::Open(std::move(*source));
  if (!elf.ok()) return std::nullopt;
  return (*elf)->build_id();
}

std::string DebugPath(const std::string& root, const std::string& build_id) {
  return root + "/" + build_id.substr(0, 2) + "/" + build_id.substr(2) + ".debug";
}

bool ChangedAfter(const std::string& path, int64_t unix_ns) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return true;
  return unix_ns > 0 && info.st_mtim.tv_sec > unix_ns / 1'000'000'000;
}

// A file that is being written, in the directory that it will end up in.
class NewFile {
 public:
  explicit NewFile(const std::string& directory) : path_(directory + "/new.XXXXXX") {
    fd_ = mkostemp(path_.data(), O_CLOEXEC);
  }
  ~NewFile() {
    if (fd_ >= 0) close(fd_);
    if (fd_ >= 0 && !kept_) unlink(path_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  bool ok() const { return fd_ >= 0; }
  const std::string& path() const { return path_; }
  bool Append(const std::string& bytes) const {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = write(fd_, bytes.data() + done, bytes.size() - done);
      if (n <= 0) return false;
      done += static_cast<size_t>(n);
    }
    return true;
  }
  bool KeepAs(const std::string& path) {
    kept_ = rename(path_.c_str(), path.c_str()) == 0;
    return kept_;
  }

 private:
  std::string path_;
  int fd_;
  bool kept_ = false;
};

std::string MakeCacheDirectory() {
  const std::string directory = CacheDirectory();
  std::error_code error;
  if (directory.empty()) return "";
  fs::create_directories(directory, error);
  if (error) return "";
  fs::permissions(directory, fs::perms::owner_all, error);
  return directory;
}

}  // namespace

bool IsBuildId(const std::string& text) {
  return text.size() >= 8 && text.size() <= 128 &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string CacheDirectory() {
  const char* cache = getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/sonde/objects";
  const char* home = getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::string(home) + "/.cache/sonde/objects";
  return "";
}

void ShrinkDirectory(const std::string& directory, uint64_t most) {
  using File = std::tuple<fs::file_time_type, uint64_t, fs::path>;
  std::vector<File> files;
  uint64_t sum = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::error_code ignored;
    if (!entry.is_regular_file(ignored)) continue;
    const uint64_t size = entry.file_size(ignored);
    files.emplace_back(entry.last_write_time(ignored), size, entry.path());
    sum += size;
  }
  std::sort(files.begin(), files.end());
  for (auto file = files.begin(); file != files.end() && sum > most; ++file) {
    if (fs::remove(std::get<2>(*file), error)) sum -= std::get<1>(*file);
  }
}

ObjectStore::ObjectStore(std::string root, std::vector<std::string> debug_dirs, FetchPiece fetch)
    : root_(std::move(root)), debug_dirs_(std::move(debug_dirs)), fetch_(std::move(fetch)) {}

std::optional<std::string> ObjectStore::OnThisMachine(const Wanted& wanted) const {
  if (wanted.path.empty() || wanted.path[0] != '/') return std::nullopt;
  std::vector<std::string> paths = {wanted.path};
  if (!root_.empty()) paths.insert(paths.begin(), root_ + wanted.path);
  for (const std::string& path : paths) {
    const auto id = BuildIdOf(path);
    if (!id || *id != wanted.build_id) continue;
    if (wanted.build_id.empty() && ChangedAfter(path, wanted.before_unix_ns)) continue;
    return path;
  }
  return std::nullopt;
}

std::string ObjectStore::DebugRoot(const std::string& build_id) const {
  const std::string system = std::string(kSystemDebugDir) + "/.build-id";
  if (!IsBuildId(build_id)) return system;
  for (const std::string& directory : debug_dirs_) {
    if (BuildIdOf(DebugPath(directory + "/.build-id", build_id)) == build_id)
      return directory + "/.build-id";
  }
  return system;
}

std::optional<std::string> ObjectStore::DebugFile(const std::string& build_id) const {
  const std::string path = DebugPath(DebugRoot(build_id), build_id);
  if (BuildIdOf(path) == build_id) return path;
  return std::nullopt;
}

std::optional<std::string> ObjectStore::Fetch(const std::string& build_id, std::string* problem) {
  const std::string directory = MakeCacheDirectory();
  NewFile file(directory.empty() ? "/tmp" : directory);
  if (directory.empty() || !file.ok()) {
    *problem = "no directory to keep it in: set XDG_CACHE_HOME";
    return std::nullopt;
  }
  try {
    uint64_t offset = 0;
    for (size_t got = kPieceBytes; got == kPieceBytes; offset += got) {
      if (offset >= kMaxObjectBytes) throw Failure("larger than 1 GiB");
      const std::string piece = fetch_(build_id, offset, kPieceBytes);
      got = piece.size();
      if (!file.Append(piece)) throw Failure("no room in " + directory);
    }
  } catch (const CliError& error) {
    *problem = error.what();
    return std::nullopt;
  }
  const std::string path = directory + "/" + build_id;
  if (BuildIdOf(file.path()) != build_id || !file.KeepAs(path)) {
    *problem = "what the agent sent is not that object";
    return std::nullopt;
  }
  ShrinkDirectory(directory, kMaxCacheBytes);
  return path;
}

std::optional<ObjectStore::Found> ObjectStore::Find(const Wanted& wanted, std::string* problem) {
  if (auto path = OnThisMachine(wanted)) return Found{*path};
  *problem =
      "not on this machine" + (wanted.build_id.empty() ? std::string(", and it has no build id")
                                                       : " with build id " + wanted.build_id);
  if (!IsBuildId(wanted.build_id)) return std::nullopt;
  const std::string cached = CacheDirectory() + "/" + wanted.build_id;
  if (BuildIdOf(cached) == wanted.build_id) {
    utimensat(AT_FDCWD, cached.c_str(), nullptr, 0);  // used now: the last to be deleted
    return Found{cached};
  }
  if (fetch_) {
    if (auto path = Fetch(wanted.build_id, problem)) return Found{*path};
  }
  if (auto path = DebugFile(wanted.build_id)) return Found{*path, true};
  return std::nullopt;
}

}  // namespace sonde::cli
