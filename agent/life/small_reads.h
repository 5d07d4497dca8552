// SPDX-License-Identifier: Apache-2.0
// Files and links of /proc, read by raw system calls. Agent thread only.
#pragma once

#include <string>
#include <vector>

namespace sonde::life {

// The whole text; empty when it cannot be read.
std::string ReadSmallFile(const std::string& path);

// Where a link points; empty when it cannot be read.
std::string ReadLink(const char* path);

// The names in an open directory, without "." and "..".
std::vector<std::string> ListDirectory(int fd);

}  // namespace sonde::life
