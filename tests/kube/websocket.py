# SPDX-License-Identifier: Apache-2.0
"""The server's side of RFC 6455, as a byte stream: kubectl from 1.31 on tunnels SPDY through it."""
import base64
import hashlib
import struct
import threading

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUE, _BINARY, _CLOSE, _PING, _PONG = 0, 2, 8, 9, 10


def accept_key(client_key):
    digest = hashlib.sha1((client_key + _GUID).encode()).digest()
    return base64.b64encode(digest).decode()


class ByteStream:
    """recv and sendall over binary messages; an empty message is not the end."""

    def __init__(self, socket):
        self._socket, self._raw, self._data = socket, b"", b""
        self._sending = threading.Lock()  # the reader answers pings between the writers' messages

    def sendall(self, data, opcode=_BINARY):
        size = len(data)
        if size < 126:
            length = bytes([size])
        elif size < 65536:
            length = b"\x7e" + struct.pack(">H", size)
        else:
            length = b"\x7f" + struct.pack(">Q", size)
        with self._sending:
            self._socket.sendall(bytes([0x80 | opcode]) + length + data)

    def recv(self, size):
        while not self._data:
            try:
                self._data = self._message()
            except EOFError:
                return b""
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def _read(self, size):
        while len(self._raw) < size:
            more = self._socket.recv(65536)
            if not more:
                raise EOFError
            self._raw += more
        taken, self._raw = self._raw[:size], self._raw[size:]
        return taken

    def _frame(self):
        first, second = self._read(2)
        size = second & 127
        if size == 126:
            (size,) = struct.unpack(">H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._read(8))
        mask = self._read(4) if second & 128 else b"\0\0\0\0"
        data = self._read(size)
        pad = (mask * (size // 4 + 1))[:size]
        plain = (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
        return first, plain

    def _message(self):
        message = b""
        while True:
            first, data = self._frame()
            opcode = first & 15
            if opcode == _CLOSE:
                raise EOFError
            if opcode == _PING:
                self.sendall(data, _PONG)
            elif opcode in (_CONTINUE, _BINARY):
                message += data
                if first & 128:
                    return message
