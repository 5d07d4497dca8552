// SPDX-License-Identifier: Apache-2.0
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "cli/interrupt.h"
#include "cli/outcome.h"

namespace sonde::cli {
namespace {

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
      throw Failure(std::string("cannot make a pipe: ") + strerror(errno));
    read_end = ends[0];
    write_end = ends[1];
    fcntl(read_end, F_SETFL, O_NONBLOCK);
  }
  ~Pipe() {
    if (read_end >= 0) close(read_end);
    if (write_end >= 0) close(write_end);
  }
  int TakeReadEnd() { return std::exchange(read_end, -1); }
};

// In the child, between fork and exec: system calls only.
[[noreturn]] void Become(pid_t parent, int output, int errors, char* const* arguments) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before the line above
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  execvp(arguments[0], arguments);
  const char* why = strerrordesc_np(errno);
  if (write(STDERR_FILENO, why, strlen(why)) < 0) _exit(126);
  _exit(127);
}

bool IsProgram(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

Child::Child(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  Pipe output;
  Pipe errors;
  const pid_t self = getpid();
  pid_ = fork();
  if (pid_ < 0) throw Failure("cannot start " + arguments[0] + ": " + strerror(errno));
  if (pid_ == 0) Become(self, output.write_end, errors.write_end, argv.data());
  setpgid(pid_, pid_);  // both sides do it, whoever is first
  output_fd_ = output.TakeReadEnd();
  errors_fd_ = errors.TakeReadEnd();
}

Child::~Child() {
  Kill();
  if (output_fd_ >= 0) close(output_fd_);
  if (errors_fd_ >= 0) close(errors_fd_);
}

void Child::ReadFrom(int* fd, std::string* text) {
  char block[4096];
  while (*fd >= 0) {
    const ssize_t bytes = read(*fd, block, sizeof block);
    if (bytes < 0) return;  // nothing there now
    if (bytes == 0) {
      close(std::exchange(*fd, -1));
      return;
    }
    text->append(block, std::min(static_cast<size_t>(bytes), kMaxOutput - text->size()));
  }
}

void Child::Drain() {
  ReadFrom(&output_fd_, &output_);
  ReadFrom(&errors_fd_, &errors_);
}

void Child::Wait(std::chrono::milliseconds at_most) {
  pollfd fds[] = {{output_fd_, POLLIN, 0}, {errors_fd_, POLLIN, 0}};
  // With both pipes closed only its end is left to wait for: look often.
  const bool silent = output_fd_ < 0 && errors_fd_ < 0;
  const auto wait = silent ? std::min(at_most, std::chrono::milliseconds(20)) : at_most;
  poll(fds, 2, static_cast<int>(wait.count()));
  Drain();
  ThrowIfInterrupted();
}

std::optional<int> Child::Status() {
  int raw = 0;
  if (status_ || waitpid(pid_, &raw, WNOHANG) != pid_) return status_;
  status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  return status_;
}

void Child::Kill() {
  if (pid_ <= 0 || status_) return;
  kill(-pid_, SIGKILL);  // its group: a kubectl plug-in too
  kill(pid_, SIGKILL);
  int raw = 0;
  while (waitpid(pid_, &raw, 0) < 0 && errno == EINTR) {
  }
  status_ = 128 + SIGKILL;
}

Finished RunToEnd(const std::vector<std::string>& arguments, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  Child child(arguments);
  while (!child.Status()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      child.Kill();
      child.Drain();
      return {124, child.output(), child.errors()};
    }
    child.Wait(std::min(left, std::chrono::milliseconds(200)));
  }
  child.Drain();
  return {*child.Status(), child.output(), child.errors()};
}

std::optional<std::string> FindInPath(const std::string& program) {
  if (program.find('/') != std::string::npos)
    return IsProgram(program) ? std::optional(program) : std::nullopt;
  const char* path = getenv("PATH");
  std::istringstream directories(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    const std::string candidate = (directory.empty() ? "." : directory) + "/" + program;
    if (IsProgram(candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace sonde::cli
