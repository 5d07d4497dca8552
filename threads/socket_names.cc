// SPDX-License-Identifier: Apache-2.0
#include "threads/socket_names.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr std::string_view kListening = "0A";
constexpr uint64_t kAcceptsConnections = 0x10000;

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.empty()) return words;
    words.push_back(line.substr(0, line.find(' ')));
    line.remove_prefix(words.back().size());
  }
}

// 0 when it is no number.
uint64_t Hexadecimal(std::string_view text) {
  uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() ? value : 0;
}

// "0100007F" -> 127.0.0.1: four bytes, printed as a number of this machine's byte order.
std::string Ipv4(std::string_view hex) {
  const uint64_t value = Hexadecimal(hex);
  std::string text;
  for (int shift = 0; shift < 32; shift += 8) {
    text += (shift == 0 ? "" : ".") + std::to_string(value >> shift & 255);
  }
  return text;
}

// Four such numbers. Only what is common is written short.
std::string Ipv6(std::string_view hex) {
  if (hex == "00000000000000000000000000000000") return "[::]";
  if (hex == "00000000000000000000000001000000") return "[::1]";
  constexpr std::string_view kMapped = "0000000000000000FFFF0000";
  if (hex.starts_with(kMapped)) return Ipv4(hex.substr(kMapped.size()));
  std::string text = "[";
  for (size_t word = 0; word + 8 <= hex.size(); word += 8) {
    for (const size_t byte : {6U, 4U, 2U, 0U}) {
      if (byte == 6 || byte == 2) text += word == 0 && byte == 6 ? "" : ":";
      text += hex.substr(word + byte, 2);
    }
  }
  return text + "]";
}

std::string Endpoint(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view address = text.substr(0, colon);
  const uint64_t port = Hexadecimal(text.substr(std::min(colon + 1, text.size())));
  return (address.size() == 8 ? Ipv4(address) : Ipv6(address)) + ":" + std::to_string(port);
}

std::string Link(std::string_view inode) { return "socket:[" + std::string(inode) + "]"; }

// What comes first of a file of /proc; a longer table is of use, too.
std::string ReadStart(const std::string& path) {
  std::string text;
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return text;
  char block[4096];
  while (text.size() < kMaxSocketText) {
    const long size = sys::Call(SYS_read, fd, block, sizeof block);
    if (sys::Failed(size) || size == 0) break;
    text.append(block, static_cast<size_t>(size));
  }
  sys::Call(SYS_close, fd);
  return text;
}

template <typename Parse>
void ReadTable(const std::string& path, const Parse& parse,
               std::map<std::string, std::string>* names) {
  const std::string text = ReadStart(path);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string link;
    std::string name;
    if (parse(rest.substr(0, end), &link, &name)) (*names)[link] = name;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

}  // namespace

bool ParseInetLine(std::string_view protocol, std::string_view line, std::string* link,
                   std::string* name) {
  const std::vector<std::string_view> words = Words(line);
  if (words.size() < 10 || words[1].find(':') == std::string_view::npos) return false;
  *link = Link(words[9]);
  *name = std::string(protocol) + " " + Endpoint(words[1]);
  if (protocol == "tcp" && words[3] == kListening) {
    *name += " listening";
  } else if (!words[2].ends_with(":0000")) {
    *name += " with " + Endpoint(words[2]);
  }
  return true;
}

bool ParseUnixLine(std::string_view line, std::string* link, std::string* name) {
  const std::vector<std::string_view> words = Words(line);
  if (words.size() < 7 || words[0] == "Num") return false;
  *link = Link(words[6]);
  *name = "unix socket" + (words.size() > 7 ? " " + std::string(words[7]) : std::string());
  if ((Hexadecimal(words[3]) & kAcceptsConnections) != 0) *name += " listening";
  return true;
}

std::map<std::string, std::string> ReadSocketNames(int pid) {
  const std::string net = "/proc/" + (pid == 0 ? "self" : std::to_string(pid)) + "/net/";
  std::map<std::string, std::string> names;
  const auto inet = [](std::string_view protocol) {
    return [protocol](std::string_view line, std::string* link, std::string* name) {
      return ParseInetLine(protocol, line, link, name);
    };
  };
  ReadTable(net + "tcp", inet("tcp"), &names);
  ReadTable(net + "tcp6", inet("tcp"), &names);
  ReadTable(net + "udp", inet("udp"), &names);
  ReadTable(net + "udp6", inet("udp"), &names);
  ReadTable(net + "unix", ParseUnixLine, &names);
  return names;
}

}  // namespace sonde
