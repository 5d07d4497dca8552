// SPDX-License-Identifier: Apache-2.0
// The sonde command: catches signals, runs the command line, turns its outcome into the exit
// status.
#include "cli/command_line.h"
#include "cli/interrupt.h"

int main(int argc, char** argv) {
  sonde::cli::CatchInterrupts();
  try {
    return static_cast<int>(sonde::cli::RunCommandLine(argc, argv));
  } catch (const sonde::cli::Interrupted&) {
    sonde::cli::DieOfInterrupt();
  }
}
