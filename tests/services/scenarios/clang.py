# SPDX-License-Identifier: Apache-2.0
"""clang++ compiling a large file: the same object, byte by byte, and the same errors for a wrong one."""
import hashlib

TARGET, NEEDS = "clang", ["clang++"]


def source(functions):
    text = "#include <algorithm>\n#include <map>\n#include <regex>\n#include <string>\n#include <vector>\n"
    for n in range(functions):
        text += (f"int f{n}(std::map<std::string, int>& m, std::vector<std::string>& v) {{\n"
                 f"  std::sort(v.begin(), v.end(), [](auto& a, auto& b) {{ return a.size() * {n} < b.size(); }});\n"
                 f"  for (auto& s : v) m[s + \"{n}\"] += static_cast<int>(s.size()) * {n};\n"
                 f"  return m.count(\"{n}\") ? m.at(\"{n}\") : {n};\n}}\n")
    return text


def run(lab):
    command = ["clang++", "-O2", "-std=c++17", "-c", "-o", lab.path("big.o"), lab.write("big.cc", source(70))]
    process = lab.start(command)
    lab.wait_for(lambda: False, 1)
    lab.profile(seconds=4)
    lab.note(f"ended with {process.wait(300)}: {lab.log('clang++')}")
    with open(lab.path("big.o"), "rb") as file:
        lab.note(hashlib.sha256(file.read()).hexdigest())
    done = lab.run(["clang++", "-fsyntax-only", "-x", "c++", lab.write("wrong.cc", "int main() { return x; }")],
                   preload=True)
    lab.note(f"wrong: {done.returncode} {done.stderr.replace(lab.directory, '')}")
