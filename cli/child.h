// SPDX-License-Identifier: Apache-2.0
// A child process that never outlives us: killed when its owner goes out of scope and, by the
// kernel, when this process dies in whatever way. Its output is read without blocking. Main thread
// only, because the kernel's death signal is tied to the thread that forked.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace sonde::cli {

class Child {
 public:
  // Standard input is /dev/null; the child leads a process group of its own, so that Ctrl-C reaches
  // us first. Throws CliError when it cannot be started.
  explicit Child(const std::vector<std::string>& arguments);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Waits for output or the end, at most the time given; throws Interrupted.
  void Wait(std::chrono::milliseconds at_most);
  // Reads what is there now.
  void Drain();
  // Exit status as a shell shows it (128 + signal); nullopt while it runs.
  std::optional<int> Status();
  void Kill();

  // Everything said so far, each at most kMaxOutput bytes.
  const std::string& output() const { return output_; }
  const std::string& errors() const { return errors_; }

  static constexpr size_t kMaxOutput = size_t{4} << 20;

 private:
  void ReadFrom(int* fd, std::string* text);

  pid_t pid_ = -1;
  int output_fd_ = -1;
  int errors_fd_ = -1;
  std::optional<int> status_;
  std::string output_;
  std::string errors_;
};

struct Finished {
  int status = 0;
  std::string output;
  std::string errors;
};

// Runs a command to its end; at the deadline it is killed and the status is 124.
Finished RunToEnd(const std::vector<std::string>& arguments, std::chrono::milliseconds deadline);

// The file that execvp would start; nullopt when there is none.
std::optional<std::string> FindInPath(const std::string& program);

}  // namespace sonde::cli
