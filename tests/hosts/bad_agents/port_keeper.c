// SPDX-License-Identifier: Apache-2.0
// Sin: listens on its port and never gives it up.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

__attribute__((constructor)) static void Start(void) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons(7663);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(fd, (const struct sockaddr*)&address, sizeof address) == 0) listen(fd, 5);
}
