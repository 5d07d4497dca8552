# SPDX-License-Identifier: Apache-2.0
"""A server whose connections are fibers of boost.context: each is answered from a stack of its own, with exceptions."""
import signal

from lab import can_connect

TARGET, NEEDS, PORT = "fiber-server", ["g++"], 18090
WORK = r"""
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <boost/context/fiber.hpp>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>
namespace ctx = boost::context;

__attribute__((noinline)) unsigned HashRequest(const std::string& text, int depth) {
  if (depth > 0) return HashRequest(text, depth - 1) + 1;
  unsigned hash = 1;
  for (int round = 0; round < 3000; ++round)
    for (char c : text) hash = hash * 16777619u ^ static_cast<unsigned char>(c);
  return hash;
}

__attribute__((noinline)) std::string Answer(const std::string& request) {
  try {
    if (request.find("bad") == 0) throw std::runtime_error("refused");
    return std::to_string(HashRequest(request, 10)) + "\n";
  } catch (const std::exception& e) {
    return std::string(e.what()) + "\n";
  }
}

ctx::fiber Serve(ctx::fiber&& loop, int fd) {
  char bytes[256];
  for (;;) {
    const long n = read(fd, bytes, sizeof bytes);
    if (n <= 0) break;
    const std::string reply = Answer(std::string(bytes, static_cast<size_t>(n)));
    if (write(fd, reply.data(), reply.size()) < 0) break;
    loop = std::move(loop).resume();  // until the next request
  }
  close(fd);
  return std::move(loop);
}

int main() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET, at.sin_port = htons(PORT), at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) || listen(listener, 64)) return 1;
  std::map<int, ctx::fiber> fibers;
  for (;;) {
    std::vector<pollfd> all{{listener, POLLIN, 0}};
    for (auto& [fd, fiber] : fibers) all.push_back({fd, POLLIN, 0});
    if (poll(all.data(), all.size(), 20000) <= 0) return 0;
    for (auto& one : all) {
      if (!one.revents) continue;
      if (one.fd == listener) {
        const int fd = accept(listener, nullptr, nullptr);
        fibers[fd] = ctx::fiber([fd](ctx::fiber&& loop) { return Serve(std::move(loop), fd); });
      } else if (!(fibers[one.fd] = std::move(fibers[one.fd]).resume())) {
        fibers.erase(one.fd);
      }
    }
  }
}
"""
LOAD = f"""
import socket, time
all = [socket.create_connection(("127.0.0.1", {PORT})) for _ in range(30)]
end = time.time() + 6
while time.time() < end:
    for s in all: s.sendall(b"x" * 200)
    for s in all: s.recv(100)
"""
ASK = f"""
import socket
s = socket.create_connection(("127.0.0.1", {PORT}))
for text in (b"one", b"bad", b"three"):
    s.sendall(text); print(s.recv(100))
"""


def run(lab):
    program = lab.path("fiber-server")
    built = lab.run(["g++", "-O2", "-std=c++17", lab.write("server.cc", WORK.replace("PORT", str(PORT))), "-o", program,
                     "-lboost_context"], timeout=300)
    lab.note(f"built {built.returncode} {built.stderr}")
    server = lab.start([program], ready=lambda: can_connect(PORT))
    lab.note(lab.run(["/usr/bin/python3", "-c", ASK]).stdout)
    lab.profile(load=["/usr/bin/python3", "-c", LOAD], roots="make_fcontext|.*fiber_entry")
    lab.note(lab.run(["/usr/bin/python3", "-c", ASK]).stdout)
    lab.end(server, signal.SIGTERM)
