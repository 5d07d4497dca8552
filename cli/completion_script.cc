// SPDX-License-Identifier: Apache-2.0
#include "cli/completion_script.h"

#include <algorithm>
#include <vector>

namespace sonde::cli {
namespace {

// The pids of the agents on this machine, one a line: what a TARGET is most often.
constexpr const char* kTargets = "sonde list 2>/dev/null | awk '$1 ~ /^[0-9]+$/ {print $1}'";

struct Flag {
  std::string long_name;   // "--seconds"
  std::string short_name;  // "-s", or empty
  std::string help;
  std::string values;  // "function line module thread", when only these are allowed
  bool takes_value = false;
  bool takes_file = false;
};

// "function|line|module|thread" as the option's type name says it.
std::string ValuesOf(const CLI::Option& option) {
  std::string type = option.get_type_name();
  if (type.find('|') == std::string::npos) return "";
  type = type.substr(0, type.find(':'));
  std::replace(type.begin(), type.end(), '|', ' ');
  return type;
}

std::vector<Flag> FlagsOf(const CLI::App& app) {
  std::vector<Flag> flags;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;  // a positional
    Flag flag;
    flag.long_name = "--" + option->get_lnames()[0];
    if (!option->get_snames().empty()) flag.short_name = "-" + option->get_snames()[0];
    flag.help = option->get_description();
    flag.takes_value = option->get_items_expected_max() > 0;
    flag.values = ValuesOf(*option);
    const std::string type = option->get_type_name();
    flag.takes_file = type == "FILE" || type == "DIR" || flag.long_name == "--kubeconfig";
    flags.push_back(flag);
  }
  return flags;
}

std::vector<const CLI::App*> VerbsOf(const CLI::App& root) {
  return root.get_subcommands([](const CLI::App*) { return true; });
}

const CLI::Option* PositionalOf(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options())
    if (option->get_positional()) return option;
  return nullptr;
}

bool TakesTarget(const CLI::App& app) {
  const CLI::Option* positional = PositionalOf(app);
  return positional != nullptr && positional->get_name(true) == "TARGET";
}

std::string VerbNames(const CLI::App& root) {
  std::string names;
  for (const CLI::App* verb : VerbsOf(root)) names += (names.empty() ? "" : " ") + verb->get_name();
  return names;
}

std::string FlagWords(const CLI::App& app) {
  std::string words;
  for (const Flag& flag : FlagsOf(app)) words += (words.empty() ? "" : " ") + flag.long_name;
  return words;
}

// In single quotes for a shell; `also` are characters that the shell's own list format needs
// escaped.
std::string Quoted(const std::string& text, std::string_view also = "") {
  std::string quoted;
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
      continue;
    }
    if (also.find(c) != std::string_view::npos) quoted += '\\';
    quoted += c;
  }
  return quoted;
}

std::string BashWordsOf(const CLI::App& app) {
  std::string line = "words=\"" + FlagWords(app) + "\"";
  if (const CLI::Option* positional = PositionalOf(app); positional != nullptr) {
    const std::string values = ValuesOf(*positional);
    if (!values.empty()) line += "; places=\"" + values + "\"";
  }
  if (TakesTarget(app)) line += "; places=\"$(" + std::string(kTargets) + ")\"; files=1";
  return line;
}

std::string BashValues(const CLI::App& root) {
  std::string cases;
  for (const CLI::App* verb : VerbsOf(root)) {
    for (const Flag& flag : FlagsOf(*verb)) {
      const std::string both =
          flag.long_name + (flag.short_name.empty() ? "" : "|" + flag.short_name);
      const std::string pattern =
          "    " + verb->get_name() + ":" + flag.long_name +
          (flag.short_name.empty() ? "" : "|" + verb->get_name() + ":" + flag.short_name);
      if (flag.takes_file)
        cases += pattern + ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n";
      else if (flag.takes_value)
        cases += pattern + ") COMPREPLY=($(compgen -W \"" + flag.values +
                 "\" -- \"$cur\")); return ;;\n";
    }
  }
  return cases;
}

std::string ZshSpec(const Flag& flag) {
  const std::string help = Quoted(flag.help, "[]:");
  const std::string value = !flag.takes_value ? ""
                            : flag.takes_file ? ":file:_files"
                                              : ":value:(" + flag.values + ")";
  std::string specs;
  for (const std::string& name : {flag.short_name, flag.long_name})
    if (!name.empty()) specs += " \\\n        '" + name + "[" + help + "]" + value + "'";
  return specs;
}

std::string ZshArguments(const CLI::App& verb) {
  std::string arguments = "_arguments -s";
  for (const Flag& flag : FlagsOf(verb)) arguments += ZshSpec(flag);
  const CLI::Option* positional = PositionalOf(verb);
  if (TakesTarget(verb)) return arguments + " \\\n        '1:target:_sonde_targets' '*::'";
  if (positional != nullptr)
    return arguments + " \\\n        '1:value:(" + ValuesOf(*positional) + ")'";
  return arguments + (verb.get_name() == "run" ? " \\\n        '*::command:_normal'" : "");
}

std::string FishFlag(const std::string& condition, const Flag& flag) {
  std::string line = "complete -c sonde -n '" + condition + "' -l " + flag.long_name.substr(2);
  if (!flag.short_name.empty()) line += " -s " + flag.short_name.substr(1);
  if (flag.takes_value) line += flag.takes_file ? " -r -F" : " -x";
  if (!flag.values.empty()) line += " -a '" + flag.values + "'";
  return line + " -d '" + Quoted(flag.help) + "'\n";
}

}  // namespace

std::string BashCompletion(const CLI::App& root) {
  std::string script =
      "# bash completion of sonde: source it, or save it as "
      "/usr/share/bash-completion/completions/sonde\n"
      "_sonde() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
      "  local verb=\"${COMP_WORDS[1]}\" words=\"\" places=\"\" files=\"\"\n"
      "  COMPREPLY=()\n"
      "  case \"$verb:$before\" in\n" +
      BashValues(root) + "  esac\n  (( COMP_CWORD == 1 )) && verb=\"\"\n  case \"$verb\" in\n";
  for (const CLI::App* verb : VerbsOf(root))
    script += "    " + verb->get_name() + ") " + BashWordsOf(*verb) + " ;;\n";
  script += "    *) words=\"" + FlagWords(root) + "\"; places=\"" + VerbNames(root) + "\" ;;\n";
  script +=
      "  esac\n"
      "  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); return; fi\n"
      "  if [[ $verb == run ]]; then COMPREPLY=($(compgen -c -- \"$cur\")); return; fi\n"
      "  COMPREPLY=($(compgen -W \"$places\" -- \"$cur\"))\n"
      "  [[ -n $files ]] && COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
      "}\n"
      "complete -o filenames -F _sonde sonde\n";
  return script;
}

std::string ZshCompletion(const CLI::App& root) {
  std::string script =
      "#compdef sonde\n"
      "# zsh completion of sonde: save it as _sonde in a directory of $fpath\n"
      "_sonde_targets() {\n  local -a pids=(${(f)\"$(" +
      std::string(kTargets) +
      ")\"})\n  _alternative 'pids:agent:($pids)' 'files:socket or saved profile:_files'\n}\n"
      "_sonde() {\n  local curcontext=\"$curcontext\" state line\n"
      "  local -a verbs=(\n";
  for (const CLI::App* verb : VerbsOf(root))
    script += "    '" + verb->get_name() + ":" + Quoted(verb->get_description(), ":") + "'\n";
  script +=
      "  )\n  if (( CURRENT == 2 )); then _describe verb verbs; _sonde_targets; return; fi\n"
      "  local verb=\"$words[2]\"\n  shift words; (( CURRENT-- ))\n  case \"$verb\" in\n";
  for (const CLI::App* verb : VerbsOf(root))
    script += "    " + verb->get_name() + ")\n      " + ZshArguments(*verb) + " ;;\n";
  return script + "  esac\n}\n_sonde \"$@\"\n";
}

std::string FishCompletion(const CLI::App& root) {
  std::string script =
      "# fish completion of sonde: save it as ~/.config/fish/completions/sonde.fish\n"
      "complete -c sonde -f\n";
  for (const CLI::App* verb : VerbsOf(root))
    script += "complete -c sonde -n __fish_use_subcommand -a " + verb->get_name() + " -d '" +
              Quoted(verb->get_description()) + "'\n";
  for (const CLI::App* verb : VerbsOf(root)) {
    const std::string condition = "__fish_seen_subcommand_from " + verb->get_name();
    for (const Flag& flag : FlagsOf(*verb)) script += FishFlag(condition, flag);
    if (TakesTarget(*verb))
      script += "complete -c sonde -n '" + condition + "' -F -a '(" + Quoted(kTargets) + ")'\n";
    else if (PositionalOf(*verb) != nullptr)
      script +=
          "complete -c sonde -n '" + condition + "' -a '" + ValuesOf(*PositionalOf(*verb)) + "'\n";
  }
  return script;
}

}  // namespace sonde::cli
