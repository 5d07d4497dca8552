// SPDX-License-Identifier: Apache-2.0
// Will the loader honour LD_PRELOAD in this program? Reads its ELF header. Used by run and by the
// answer to "why is there no agent".
#pragma once

#include <string>

namespace sonde::cli {

struct ProgramCheck {
  enum class Verdict {
    kDynamic,  // LD_PRELOAD works
    kScript,   // "#!": the interpreter decides
    kStatic,   // no loader, no preload
    kMusl,     // its loader refuses libsonde.so and ends the program
    kNot64BitX86,
    kPrivileged,  // setuid, setgid or file capabilities: the loader drops LD_PRELOAD
    kNotElf,
    kUnreadable
  };
  Verdict verdict = Verdict::kUnreadable;
  std::string interpreter;  // the loader, or the first word after "#!"
};

ProgramCheck CheckProgram(const std::string& path);

// A sentence that says what is wrong and what to do; empty when LD_PRELOAD works.
std::string ExplainProgram(const ProgramCheck& check, const std::string& path);

}  // namespace sonde::cli
