# SPDX-License-Identifier: Apache-2.0
"""SPDY/3.1, the server's side: what kubectl speaks over an upgraded connection.

Framing and the header dictionary are those of the SPDY/3 specification. Streams have no flow control,
because kubectl uses none.
"""
import struct
import threading
import zlib

_DICTIONARY_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
).split() + ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]

_DICTIONARY_TAIL = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    b"203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    b"401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    b"503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    b"Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    b"application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    b"gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)

DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.encode() for word in _DICTIONARY_WORDS)
    + _DICTIONARY_TAIL
)

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY, HEADERS = 1, 2, 3, 6, 7, 8
FLAG_FIN = 1
CANCEL = 5
MAX_FRAME = 1 << 16


class Stream:
    """One stream of a session; the session's reader feeds it, one thread reads it."""

    def __init__(self, session, stream_id, headers):
        self.session, self.id, self.headers = session, stream_id, headers
        self.was_reset = False
        self._chunks, self._ended = [], False
        self._changed = threading.Condition()

    def feed(self, data, fin):
        with self._changed:
            if data:
                self._chunks.append(data)
            self._ended = self._ended or fin
            self._changed.notify_all()

    def abort(self):
        with self._changed:
            self.was_reset = True
            self._changed.notify_all()

    def read(self):
        """The next chunk; empty at the end and after a reset."""
        with self._changed:
            while not self._chunks and not self._ended and not self.was_reset:
                self._changed.wait()
            return self._chunks.pop(0) if self._chunks and not self.was_reset else b""

    def write(self, data, fin=False):
        pieces = [data[i:i + MAX_FRAME] for i in range(0, len(data), MAX_FRAME)]
        if fin and not pieces:
            pieces = [b""]
        for number, piece in enumerate(pieces):
            last = fin and number == len(pieces) - 1
            head = struct.pack(">II", self.id, (FLAG_FIN if last else 0) << 24 | len(piece))
            self.session.send(head + piece)

    def reset(self):
        self.session.send_control(RST_STREAM, 0, struct.pack(">II", self.id, CANCEL))


class Session:
    """Reads frames from `connection` (recv/sendall) and calls on_stream for every new stream."""

    def __init__(self, connection, on_stream):
        self._connection, self._on_stream = connection, on_stream
        self._streams, self._lock = {}, threading.Lock()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def send(self, data):
        with self._lock:
            self._connection.sendall(data)

    def send_control(self, kind, flags, payload):
        self.send(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    def serve(self):
        """Until the other side goes; then every stream is aborted."""
        try:
            while self._serve_frame():
                pass
        except (EOFError, OSError):
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.abort()

    def _receive(self, size):
        data = b""
        while len(data) < size:
            more = self._connection.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _serve_frame(self):
        first, second = struct.unpack(">II", self._receive(8))
        flags, payload = second >> 24, self._receive(second & 0xFFFFFF)
        if not first & 0x80000000:
            stream = self._streams.get(first)
            if stream:
                stream.feed(payload, bool(flags & FLAG_FIN))
            return True
        return self._control(first & 0xFFFF, flags, payload)

    def _control(self, kind, flags, payload):
        if kind == SYN_STREAM:
            self._open(flags, payload)
        elif kind == RST_STREAM:
            stream = self._streams.pop(struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF, None)
            if stream:
                stream.abort()
        elif kind == PING:
            self.send_control(PING, 0, payload)
        elif kind == HEADERS:
            self._headers(payload[4:])  # keeps the decompressor in step
        return kind != GOAWAY

    def _open(self, flags, payload):
        stream_id = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        stream = Stream(self, stream_id, self._headers(payload[10:]))
        self._streams[stream_id] = stream
        if flags & FLAG_FIN:
            stream.feed(b"", True)
        with self._lock:  # the compressor's order is the order on the wire
            headers = self._deflate.compress(struct.pack(">I", 0))
            headers += self._deflate.flush(zlib.Z_SYNC_FLUSH)
            reply = struct.pack(">I", stream_id) + headers
            self._connection.sendall(struct.pack(">HHI", 0x8003, SYN_REPLY, len(reply)) + reply)
        self._on_stream(stream)

    def _headers(self, block):
        plain = self._inflate.decompress(block)
        offset, headers = 4, {}

        def text():
            nonlocal offset
            (size,) = struct.unpack_from(">I", plain, offset)
            offset += 4 + size
            return plain[offset - size:offset].decode()

        for _ in range(struct.unpack_from(">I", plain)[0]):
            name = text().lower()
            headers[name] = text()
        return headers
