// SPDX-License-Identifier: Apache-2.0
// Loads a memcached: one connection, requests in batches of 50, every tenth a set, of 20,000 keys
// and values of 10 … 1,000 bytes. Arguments: port, requests. Prints nothing; 1: a wrong answer.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace {

constexpr int kBatch = 50;

int Connect(int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 ? fd : -1;
}

void Send(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t sent = send(fd, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) exit(1);
    done += static_cast<size_t>(sent);
  }
}

// Until that many answers ended.
void Receive(int fd, int answers) {
  std::string text;
  char buffer[1 << 16];
  while (answers > 0) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) exit(1);
    text.append(buffer, static_cast<size_t>(got));
    size_t line = 0;
    for (size_t end; (end = text.find("\r\n", line)) != std::string::npos; line = end + 2) {
      const std::string_view words(text.data() + line, end - line);
      if (words == "STORED" || words == "END") --answers;
      if (words.starts_with("ERROR") || words.starts_with("SERVER_ERROR")) exit(1);
    }
    text.erase(0, line);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s PORT REQUESTS\n", argv[0]);
    return 2;
  }
  const int fd = Connect(atoi(argv[1]));
  if (fd < 0) return 1;
  uint64_t random = 88172645463325252;
  const std::string value(1000, 'v');
  for (long left = atol(argv[2]); left > 0; left -= kBatch) {
    std::string batch;
    for (int i = 0; i < kBatch; ++i) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      const std::string key = "key:" + std::to_string(random % 20'000);
      const size_t size = 10 + (random >> 32) % 990;
      if ((random >> 20) % 10 != 0) {
        batch += "get " + key + "\r\n";
      } else {
        batch +=
            "set " + key + " 0 0 " + std::to_string(size) + "\r\n" + value.substr(0, size) + "\r\n";
      }
    }
    Send(fd, batch);
    Receive(fd, kBatch);
  }
  close(fd);
  return 0;
}
