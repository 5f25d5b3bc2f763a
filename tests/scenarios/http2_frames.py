"""Frames of HTTP/2 as no library would send them, and what a peer says to them. HPACK without Huffman or table, unless told."""
import socket
import struct
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, _, STREAM_CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION = range(10)
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'


def frame(kind, flags=0, stream=0, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes((kind, flags)) + struct.pack('>I', stream) + payload


def u32(value):
    return struct.pack('>I', value)


def setting(name, value):
    return struct.pack('>HI', name, value)


def integer(value, bits, first):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((first | value,))
    out, value = [first | limit], value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def literal(name, value, first=0x00):
    """Without indexing (0x00), never indexed (0x10), or with (0x40)."""
    name, value = name.encode(), value.encode()
    return bytes((first,)) + integer(len(name), 7, 0) + name + integer(len(value), 7, 0) + value


def block(*fields):
    return b''.join(literal(name, value) for name, value in fields)


def request(method='GET', path='/', *more):
    return block((':method', method), (':scheme', 'http'), (':path', path), (':authority', 'api'), *more)


class Peer:
    """A connection on which everything received is kept."""

    def __init__(self, port, preface=PREFACE, settings=b'', greet=True):
        self._socket = socket.create_connection(('127.0.0.1', port), 5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bytes, self.frames, self.closed = b'', [], False
        if greet:
            self.send(preface + frame(SETTINGS, 0, 0, settings))
            self.wait(lambda f: f[0] == SETTINGS and f[1] & ACK, 'its acknowledgement')
            self.send(frame(SETTINGS, ACK))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, *pieces):
        try:
            self._socket.sendall(b''.join(pieces))
        except OSError:
            pass  # ended already: what it said is to be read
        return self

    def headers(self, payload, stream=1, flags=END_STREAM | END_HEADERS):
        return self.send(frame(HEADERS, flags, stream, payload))

    def _read(self, end):
        self._socket.settimeout(max(end - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            data = b''
        self.closed |= not data
        self._bytes += data
        while len(self._bytes) >= 9:
            size = int.from_bytes(self._bytes[:3], 'big')
            if len(self._bytes) < 9 + size:
                break
            head, payload, self._bytes = self._bytes[:9], self._bytes[9:9 + size], self._bytes[9 + size:]
            self.frames.append((head[3], head[4], int.from_bytes(head[5:9], 'big') & 0x7fffffff, payload))
        return bool(data)

    def wait(self, wanted, what, deadline=5.0):
        """The first frame (type, flags, stream, payload) that is wanted. None if the connection was closed without one."""
        end, seen = time.monotonic() + deadline, 0
        while True:
            for one in self.frames[seen:]:
                if wanted(one):
                    return one
            seen = len(self.frames)
            if self.closed:
                return None
            if not self._read(end) and not self.closed:
                raise AssertionError(f'{what} did not come: {self.frames[-5:]}')

    def close(self):
        self._socket.close()
