// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "cli/render.h"

namespace sonde::cli {
namespace {

constexpr size_t kBarWidth = 20;

std::string Bar(double fraction) {
  const auto filled = static_cast<size_t>(fraction * kBarWidth);
  return std::string(filled, '#') + std::string(kBarWidth - filled, '.');
}

}  // namespace

Progress::Progress(std::string what, std::chrono::milliseconds length, bool quiet)
    : what_(std::move(what)),
      length_seconds_(std::chrono::duration<double>(length).count()),
      start_(std::chrono::steady_clock::now()) {
  const Terminal terminal = TerminalOf(STDERR_FILENO);
  active_ = terminal.is_terminal && !quiet;
  width_ = terminal.width;
  Tick();
}

Progress::~Progress() {
  if (active_) std::cerr << "\r\033[K" << std::flush;
}

void Progress::Tick() {
  const double elapsed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const int second = static_cast<int>(elapsed);
  if (!active_ || second == shown_second_) return;
  shown_second_ = second;
  const double fraction = std::min(1.0, elapsed / length_seconds_);
  const std::string text = Bar(fraction) + " " + what_ + ", " +
                           Fixed(std::min(elapsed, length_seconds_), 0) + " of " +
                           Fixed(length_seconds_, length_seconds_ < 1 ? 1 : 0) + " s" +
                           (elapsed > length_seconds_ ? ", waiting for the answer" : "");
  std::cerr << "\r\033[K" << Ellipsis(text, width_ - 1) << std::flush;
}

}  // namespace sonde::cli
