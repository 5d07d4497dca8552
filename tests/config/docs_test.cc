// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

namespace {

std::string OutputOf(const char* command) {
  std::string output;
  FILE* pipe = popen(command, "r");
  if (pipe == nullptr) return output;
  char block[4096];
  for (size_t got; (got = fread(block, 1, sizeof(block), pipe)) > 0;) output.append(block, got);
  pclose(pipe);
  return output;
}

TEST(ConfigurationPage, IsWhatTheSchemaSays) {
  std::ifstream file(CONFIG_DOCS_FILE);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string generated = OutputOf(CONFIG_DOCS_PROGRAM);
  ASSERT_GT(generated.size(), 1000u);
  EXPECT_EQ(text.str(), generated) << "run: sonde_config_docs > docs/configuration.md";
}

}  // namespace
