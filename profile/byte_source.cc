// SPDX-License-Identifier: Apache-2.0
#include "profile/byte_source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sonde {
namespace {

class FileSource : public ByteSource {
 public:
  explicit FileSource(int fd) : fd_(fd) {}
  ~FileSource() override { close(fd_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  void set_size(uint64_t size) { size_ = size; }
  uint64_t size() const override { return size_; }

  size_t ReadAt(uint64_t offset, void* out, size_t size) const override {
    if (offset >= size_) return 0;
    size = static_cast<size_t>(std::min<uint64_t>(size, size_ - offset));
    size_t done = 0;
    while (done < size) {
      const ssize_t n = pread(fd_, static_cast<char*>(out) + done, size - done,
                              static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

 private:
  int fd_;
  uint64_t size_ = 0;
};

class MemorySource : public ByteSource {
 public:
  MemorySource(MemoryReader reader, uint64_t base, uint64_t size)
      : reader_(std::move(reader)), base_(base), size_(std::min(size, UINT64_MAX - base)) {}

  uint64_t size() const override { return size_; }

  size_t ReadAt(uint64_t offset, void* out, size_t size) const override {
    if (offset >= size_) return 0;
    size = static_cast<size_t>(std::min<uint64_t>(size, size_ - offset));
    return reader_(base_ + offset, out, size) ? size : 0;
  }

 private:
  MemoryReader reader_;
  uint64_t base_;
  uint64_t size_;
};

class TextSource : public ByteSource {
 public:
  explicit TextSource(std::string bytes) : bytes_(std::move(bytes)) {}

  uint64_t size() const override { return bytes_.size(); }

  size_t ReadAt(uint64_t offset, void* out, size_t size) const override {
    if (offset >= bytes_.size()) return 0;
    return bytes_.copy(static_cast<char*>(out), size, offset);
  }

 private:
  const std::string bytes_;
};

// Not strerror: it asks the locale, and in the agent that is the host's.
std::string ErrnoText(int error) {
  switch (error) {
    case ENOENT:
      return "no such file";
    case EACCES:
    case EPERM:
      return "permission denied";
    case EMFILE:
    case ENFILE:
      return "too many open files";
    case ELOOP:
      return "too many symbolic links";
    default:
      return "errno " + std::to_string(error);
  }
}

Error SystemError(const std::string& path, const char* what) {
  return Error{path + ": " + what + ": " + ErrnoText(errno)};
}

}  // namespace

bool ByteSource::ReadExact(uint64_t offset, void* out, size_t size) const {
  return size == 0 || ReadAt(offset, out, size) == size;  // an empty vector has no address
}

Result<std::unique_ptr<ByteSource>> OpenFile(const std::string& path) {
  // O_NONBLOCK: a path that has become a pipe must not make us wait for its writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return SystemError(path, "cannot open");
  return AdoptFile(fd, path);
}

Result<std::unique_ptr<ByteSource>> AdoptFile(int fd, const std::string& path) {
  std::unique_ptr<FileSource> file;
  try {
    file = std::make_unique<FileSource>(fd);
  } catch (...) {
    close(fd);
    throw;
  }
  struct stat status;
  if (fstat(fd, &status) != 0) return SystemError(path, "cannot stat");
  if (!S_ISREG(status.st_mode)) return Error{path + ": not a regular file"};
  file->set_size(static_cast<uint64_t>(status.st_size));
  return std::unique_ptr<ByteSource>(std::move(file));
}

std::unique_ptr<ByteSource> OpenText(std::string bytes) {
  return std::make_unique<TextSource>(std::move(bytes));
}

std::unique_ptr<ByteSource> OpenMemory(MemoryReader reader, uint64_t base, uint64_t size) {
  return std::make_unique<MemorySource>(std::move(reader), base, size);
}

}  // namespace sonde
