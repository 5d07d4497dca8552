// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "cli/completion_script.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {

Action DeclareCompletion(CLI::App* verb) {
  const auto shell = std::make_shared<std::string>();
  verb->add_option("SHELL", *shell, "Which shell")
      ->type_name("bash|zsh|fish")
      ->check(OneOf({"bash", "zsh", "fish"}))
      ->required();
  return [shell, verb] {
    const CLI::App& root = *verb->get_parent();
    const std::string script = *shell == "bash"  ? BashCompletion(root)
                               : *shell == "zsh" ? ZshCompletion(root)
                                                 : FishCompletion(root);
    std::cout << script;
    return ExitCode::kClean;
  };
}

}  // namespace sonde::cli
