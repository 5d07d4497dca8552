// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cli/command_line.h"
#include "cli/completion_script.h"

namespace sonde::cli {
namespace {

TEST(Completion, KnowsEveryVerbAndEveryOptionInEveryShell) {
  const auto line = BuildCommandLine();
  for (const std::string& script :
       {BashCompletion(line->root), ZshCompletion(line->root), FishCompletion(line->root)}) {
    for (const Verb& verb : Verbs()) {
      EXPECT_NE(script.find(verb.name), std::string::npos) << verb.name;
      for (const CLI::Option* option : line->root.get_subcommand(verb.name)->get_options())
        for (const std::string& name : option->get_lnames())
          EXPECT_NE(script.find(name), std::string::npos) << verb.name << " --" << name;
    }
  }
}

}  // namespace
}  // namespace sonde::cli
