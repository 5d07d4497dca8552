// SPDX-License-Identifier: Apache-2.0
#include "tests/http/client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

namespace sonde::testing {
namespace {

size_t ContentLength(std::string_view head) {
  const size_t at = head.find("Content-Length: ");
  return at == head.npos ? 0 : std::strtoul(head.data() + at + 16, nullptr, 10);
}

}  // namespace

Client::Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
}

Client::Client(const std::string& unix_path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, unix_path.c_str(), sizeof(address.sun_path) - 1);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
}

Client::~Client() { Close(); }

void Client::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void Client::HalfClose() { shutdown(fd_, SHUT_WR); }

bool Client::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool Client::ReadMore(int quiet_ms) {
  pollfd wait = {fd_, POLLIN, 0};
  char block[65536];
  if (poll(&wait, 1, quiet_ms) <= 0) return false;
  const ssize_t got = recv(fd_, block, sizeof(block), 0);
  if (got <= 0) return false;
  buffer_.append(block, static_cast<size_t>(got));
  return true;
}

std::string Client::ReadAll(int quiet_ms) {
  while (ReadMore(quiet_ms)) {
  }
  return std::exchange(buffer_, {});
}

std::string Client::ReadResponse(int quiet_ms) {
  for (;;) {
    const size_t end = buffer_.find("\r\n\r\n");
    if (end != buffer_.npos) {
      const size_t size = end + 4 + ContentLength(buffer_.substr(0, end));
      if (buffer_.size() >= size) {
        std::string response = buffer_.substr(0, size);
        buffer_.erase(0, size);
        return response;
      }
    }
    if (!ReadMore(quiet_ms)) return {};
  }
}

bool Client::ClosedWithin(int ms) {
  pollfd wait = {fd_, POLLIN, 0};
  char block[4096];
  while (poll(&wait, 1, ms) > 0) {
    if (recv(fd_, block, sizeof(block), 0) <= 0) return true;
  }
  return false;
}

std::string Get(std::string_view path, std::string_view extra) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + std::string(extra) +
         "\r\n";
}

int StatusOf(std::string_view response) {
  return response.starts_with("HTTP/1.1 ") ? std::atoi(std::string(response.substr(9, 3)).c_str())
                                           : 0;
}

std::string_view BodyOf(std::string_view response) {
  const size_t end = response.find("\r\n\r\n");
  return end == response.npos ? std::string_view() : response.substr(end + 4);
}

}  // namespace sonde::testing
