"""An endpoint that reads what a proxy forwards as RFC 9112 is written, and says what is wrong with it."""
import re
import socket
import threading

from programs import free_port

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
TARGET = re.compile(rb'[!-~]+')
VALUE = re.compile(rb'[\t -~\x80-\xff]*')
CHUNK_LINE = re.compile(rb'([0-9A-Fa-f]{1,16})((?:;[!-~]+)*)')


class Unsafe(Exception):
    """What another reader might read differently."""


class Unfinished(Exception):
    """More bytes are needed."""


def _line(data, at):
    end = data.find(b'\n', at)
    if end < 0:
        raise Unfinished
    if data[end - 1:end] != b'\r' or end == at:
        raise Unsafe(f'bare line feed: {data[at:end + 1]!r}')
    return data[at:end - 1], end + 1


def _field_lines(data, at):
    fields = []
    while True:
        line, at = _line(data, at)
        if not line:
            return fields, at
        name, colon, value = line.partition(b':')
        if not colon or not TOKEN.fullmatch(name):
            raise Unsafe(f'field name: {line!r}')
        if not VALUE.fullmatch(value):
            raise Unsafe(f'field value: {line!r}')
        fields.append((name.lower(), value.strip(b' \t')))


def read_request(data):
    """The first request's (method, target, body), and how many bytes it took."""
    line, at = _line(data, 0)
    words = line.split(b' ')
    if len(words) != 3 or not TOKEN.fullmatch(words[0]) or not TARGET.fullmatch(words[1]) or words[2] not in (b'HTTP/1.1', b'HTTP/1.0'):
        raise Unsafe(f'request line: {line!r}')
    fields, at = _field_lines(data, at)
    hosts = [value for name, value in fields if name == b'host']
    if len(hosts) != 1:
        raise Unsafe(f'hosts: {hosts!r}')
    lengths = [value for name, value in fields if name == b'content-length']
    codings = [value for name, value in fields if name == b'transfer-encoding']
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise Unsafe(f'framing: {lengths!r} {codings!r}')
    if codings:
        if codings[0].lower() != b'chunked' or words[2] == b'HTTP/1.0':
            raise Unsafe(f'coding: {codings[0]!r}')
        body, at = _chunks(data, at)
    else:
        if lengths and not re.fullmatch(rb'[0-9]{1,18}', lengths[0]):
            raise Unsafe(f'length: {lengths[0]!r}')
        size = int(lengths[0]) if lengths else 0
        if len(data) - at < size:
            raise Unfinished
        body, at = data[at:at + size], at + size
    return (words[0], words[1], body), at


def _chunks(data, at):
    body = b''
    while True:
        line, at = _line(data, at)
        found = CHUNK_LINE.fullmatch(line)
        if not found:
            raise Unsafe(f'chunk line: {line!r}')
        size = int(found[1], 16)
        if size == 0:
            break
        if len(data) - at < size + 2:
            raise Unfinished
        if data[at + size:at + size + 2] != b'\r\n':
            raise Unsafe(f'chunk end: {data[at + size:at + size + 2]!r}')
        body += data[at:at + size]
        at += size + 2
    trailers, at = _field_lines(data, at)
    bad = [name for name, _ in trailers if name in (b'content-length', b'transfer-encoding', b'host')]
    if bad:
        raise Unsafe(f'trailer: {bad!r}')
    return body, at


class StrictOrigin:
    """Answers every whole request with 200 and `x-origin: strict`; remembers requests, what is unsafe, and what came unfinished."""

    ANSWER = b'HTTP/1.1 200 OK\r\nx-origin: strict\r\nContent-Length: 2\r\n\r\nok'

    def __init__(self):
        self.requests, self.unsafe, self.unfinished = [], [], []
        self._listener = socket.create_server(('127.0.0.1', free_port()), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.address = f'127.0.0.1:{self.port}'
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def take(self):
        """(requests, unsafe, unfinished) since the last time."""
        taken = self.requests, self.unsafe, self.unfinished
        self.requests, self.unsafe, self.unfinished = [], [], []
        return taken

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        data = b''
        with connection:
            try:
                while more := connection.recv(65536):
                    data += more
                    while data:
                        try:
                            request, used = read_request(data)
                        except Unfinished:
                            break
                        self.requests.append(request)
                        data = data[used:]
                        connection.sendall(self.ANSWER)
            except Unsafe as why:
                self.unsafe.append(str(why))
                data = b''
            except OSError:
                pass
        if data:
            self.unfinished.append(data)
