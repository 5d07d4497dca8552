// SPDX-License-Identifier: Apache-2.0
#include "cli/line_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "cli/interrupt.h"
#include "cli/outcome.h"

namespace sonde::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxText = 64 << 10;
constexpr size_t kMaxFrames = 1000;
constexpr uint32_t kMaxMessage = 16 << 20;
constexpr int kPollMs = 200;

enum class Kind : uint32_t { kFrames, kProblem, kDone };

// A message: its length in bytes, then kind, request, index, and the rest.
class Writer {
 public:
  void Number(uint64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), 8); }
  void Text(const std::string& text) {
    const size_t size = std::min(text.size(), kMaxText);
    Number(size);
    bytes_.append(text, 0, size);
  }
  void Send(int fd) const {
    const auto size = static_cast<uint32_t>(bytes_.size());
    const std::string message = std::string(reinterpret_cast<const char*>(&size), 4) + bytes_;
    for (size_t sent = 0; sent < message.size();) {
      const ssize_t n = write(fd, message.data() + sent, message.size() - sent);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) _exit(1);  // nobody listens any more
      sent += static_cast<size_t>(n);
    }
  }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::optional<uint64_t> Number() {
    uint64_t value = 0;
    if (bytes_.size() < 8) return std::nullopt;
    memcpy(&value, bytes_.data(), 8);
    bytes_.remove_prefix(8);
    return value;
  }
  std::optional<std::string> Text() {
    const auto size = Number();
    if (!size || *size > bytes_.size()) return std::nullopt;
    std::string text(bytes_.substr(0, *size));
    bytes_.remove_prefix(*size);
    return text;
  }

 private:
  std::string_view bytes_;
};

Writer Message(Kind kind, size_t request, size_t index) {
  Writer message;
  message.Number(static_cast<uint64_t>(kind));
  message.Number(request);
  message.Number(index);
  return message;
}

void SendFrames(int fd, size_t request, size_t index, const std::vector<SourceFrame>& frames) {
  Writer message = Message(Kind::kFrames, request, index);
  const size_t count = std::min(frames.size(), kMaxFrames);
  message.Number(count);
  for (size_t i = 0; i < count; ++i) {
    message.Text(frames[i].function);
    message.Text(frames[i].file);
    message.Number(static_cast<uint64_t>(frames[i].line));
    message.Number(static_cast<uint64_t>(frames[i].start_line));
  }
  message.Send(fd);
}

// Not under sanitizers, whose shadow memory is an address space of its own.
void LimitTo(size_t address_space_bytes) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit space = {address_space_bytes, address_space_bytes};
  setrlimit(RLIMIT_AS, &space);
#else
  static_cast<void>(address_space_bytes);
#endif
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

// In the worker: never returns.
[[noreturn]] void Work(int fd, const std::vector<LineRequest>& requests, size_t first,
                       const std::string& debug_path, const WorkerLimits& limits) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(number, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  LimitTo(limits.address_space_bytes);
  // A server of debug files that does not answer must not eat the time of all objects.
  setenv("DEBUGINFOD_TIMEOUT", "10", 0);
  setenv("DEBUGINFOD_MAXTIME", "20", 0);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDERR_FILENO);
  for (size_t i = first; i < requests.size(); ++i) {
    const std::string problem =
        LookUpLines(requests[i].path, debug_path, requests[i].addresses,
                    [&](size_t index, const std::vector<SourceFrame>& frames) {
                      SendFrames(fd, i, index, frames);
                    });
    if (!problem.empty()) {
      Writer message = Message(Kind::kProblem, i, 0);
      message.Text(problem);
      message.Send(fd);
    }
    Message(Kind::kDone, i, 0).Send(fd);
  }
  _exit(0);
}

// One worker, which begins with `first`; another follows behind an object that it died of.
class Worker {
 public:
  Worker(const std::vector<LineRequest>& requests, const std::string& debug_path,
         const WorkerLimits& limits, const LineFound& found)
      : requests_(requests), debug_path_(debug_path), limits_(limits), found_(found) {}

  std::vector<std::string> RunAll() {
    end_ = Clock::now() + limits_.time;
    while (next_ < requests_.size() && !out_of_time_) {
      const size_t before = next_;
      RunOne();
      if (out_of_time_ || next_ >= requests_.size()) break;
      problems_.push_back(requests_[next_].name + ": its debug information could not be read");
      next_ = std::max(next_, before) + 1;
    }
    if (out_of_time_)
      problems_.push_back("lines: the time of " + std::to_string(limits_.time.count() / 1000) +
                          " s was over at " + requests_[next_].name + "; it and " +
                          std::to_string(requests_.size() - next_ - 1) +
                          " more objects have no or not all lines");
    return std::move(problems_);
  }

 private:
  void RunOne() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw Failure("cannot make a pipe");
    const pid_t pid = fork();
    if (pid == 0) Work(ends[1], requests_, next_, debug_path_, limits_);
    close(ends[1]);
    if (pid > 0) {
      try {
        Listen(ends[0]);
      } catch (...) {
        Finish(pid, ends[0]);
        throw;
      }
      return Finish(pid, ends[0]);
    }
    close(ends[0]);
    throw Failure("cannot start a process that looks lines up");
  }

  static void Finish(pid_t pid, int fd) {
    close(fd);
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  // Until the worker's end, or that of the time.
  void Listen(int fd) {
    std::string bytes;
    std::string block(size_t{64} << 10, '\0');
    while (received_ < kMaxAnswerBytes) {
      ThrowIfInterrupted();
      out_of_time_ = Clock::now() >= end_;
      if (out_of_time_) return;
      pollfd ready = {fd, POLLIN, 0};
      if (poll(&ready, 1, kPollMs) <= 0) continue;
      const ssize_t n = read(fd, block.data(), block.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      received_ += static_cast<size_t>(n);
      bytes.append(block, 0, static_cast<size_t>(n));
      if (!TakeMessages(&bytes)) return;
    }
  }

  // False when they make no sense: the worker's memory is damaged.
  bool TakeMessages(std::string* bytes) {
    size_t at = 0;
    bool sound = true;
    while (sound && bytes->size() - at >= 4) {
      uint32_t size = 0;
      memcpy(&size, bytes->data() + at, 4);
      sound = size <= kMaxMessage;
      if (!sound || bytes->size() - at - 4 < size) break;
      sound = Take(Reader(std::string_view(*bytes).substr(at + 4, size)));
      at += 4 + size;
    }
    bytes->erase(0, at);
    return sound;
  }

  bool Take(Reader message) {
    const auto kind = message.Number();
    const auto request = message.Number();
    const auto index = message.Number();
    if (!kind || !index || request != next_) return false;
    if (*kind == static_cast<uint64_t>(Kind::kDone)) {
      ++next_;
      return true;
    }
    if (*kind == static_cast<uint64_t>(Kind::kProblem)) {
      problems_.push_back(requests_[next_].name + ": " + message.Text().value_or("unreadable"));
      return true;
    }
    return *index < requests_[next_].addresses.size() && TakeFrames(message, *index);
  }

  bool TakeFrames(Reader message, size_t index) const {
    std::vector<SourceFrame> frames;
    const uint64_t count = message.Number().value_or(kMaxFrames + 1);
    if (count > kMaxFrames) return false;
    for (uint64_t i = 0; i < count; ++i) {
      const auto function = message.Text();
      const auto file = message.Text();
      const auto line = message.Number();
      const auto start = message.Number();
      if (!function || !file || !line || !start) return false;
      frames.push_back(
          {*function, *file, static_cast<int64_t>(*line), static_cast<int64_t>(*start)});
    }
    found_(next_, index, frames);
    return true;
  }

  const std::vector<LineRequest>& requests_;
  const std::string& debug_path_;
  const WorkerLimits limits_;
  const LineFound& found_;
  Clock::time_point end_;
  size_t next_ = 0;  // the request that is being answered
  size_t received_ = 0;
  bool out_of_time_ = false;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> RunLineWorker(const std::vector<LineRequest>& requests,
                                       const std::string& debug_path, const WorkerLimits& limits,
                                       const LineFound& found) {
  return Worker(requests, debug_path, limits, found).RunAll();
}

}  // namespace sonde::cli
