"""The server behind the mesh, in the test's own process, with knobs."""
import collections
import http.server
import json
import socket
import threading

from programs import POLL_SECONDS, free_port

SEEN_MAX = 1000  # requests an Origin remembers


class Origin:
    """An HTTP/1.1 server in this process. Its knobs may be turned while it serves.

    Every path answers `name`; /health answers health_status; /echo answers what arrived, as JSON.
    """

    def __init__(self, name, port=None, status=200, delay=0.0, body=None, close_mid_body=False, health_status=200):
        self.name, self.port = name, port or free_port()
        self.status, self.delay, self.body = status, delay, body if body is not None else name.encode()
        self.close_mid_body, self.health_status = close_mid_body, health_status
        self.headers = {}                                # added to every answer
        self.seen = collections.deque(maxlen=SEEN_MAX)   # (method, path, headers), /health left out
        self.requests = self.checks = 0                  # of all but /health, and of /health
        self.connections = 0                             # accepted so far
        self._lock = threading.Lock()
        self._server = None
        self.start()

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    @property
    def url(self):
        return f'http://{self.address}'

    def start(self):
        """Serves (again, after stop()) at the same port."""
        self._stopping = threading.Event()
        self._sockets = set()
        self._server = _OriginServer(('127.0.0.1', self.port), _OriginHandler)
        self._server.origin = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()

    def stop(self):
        """Stops listening and cuts every connection, as a crash would."""
        if not self._server:
            return
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = None
        with self._lock:
            for open_socket in self._sockets:
                try:
                    open_socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the peer was faster

    def _count(self, handler):
        with self._lock:
            if handler.path == '/health':
                self.checks += 1
            else:
                self.requests += 1
                self.seen.append((handler.command, handler.path, dict(handler.headers.items())))


class _OriginServer(http.server.ThreadingHTTPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 256

    def handle_error(self, *_):
        pass  # connections that break are what scenarios are about


class _OriginHandler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = 'HTTP/1.1', -1, True

    def setup(self):
        super().setup()
        with self.server.origin._lock:
            self.server.origin._sockets.add(self.connection)
            self.server.origin.connections += 1

    def finish(self):
        with self.server.origin._lock:
            self.server.origin._sockets.discard(self.connection)
        super().finish()

    def answer(self):
        origin = self.server.origin
        body = self._read_body()
        origin._count(self)
        if self.path == '/health':
            return self._send(origin.health_status, origin.name.encode())
        if origin.delay and origin._stopping.wait(origin.delay):
            self.close_connection = True
            return None
        if self.path.startswith('/echo'):
            return self._send(origin.status, json.dumps({
                'name': origin.name, 'method': self.command, 'path': self.path,
                'headers': list(self.headers.items()), 'body': body.decode('latin-1')}).encode())
        return self._send(origin.status, origin.body, cut=origin.close_mid_body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer

    def _send(self, status, body, cut=False):
        self.send_response(status)
        for name, value in self.server.origin.headers.items():
            self.send_header(name, value)
        self.send_header('x-origin', self.server.origin.name)
        self.send_header('Content-Length', str(len(body) + cut))  # cut: always a byte short, even of an empty body
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body[:(len(body) + 1) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def _read_body(self):
        if 'chunked' not in self.headers.get('Transfer-Encoding', '').lower():
            return self.rfile.read(int(self.headers.get('Content-Length', 0)))
        body = b''
        while size := int(self.rfile.readline().split(b';')[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def log_message(self, *_):
        pass


class RawOrigin:
    """Answers the first head of every connection with these bytes, whatever they are, and closes."""

    def __init__(self, answer):
        self.answer, self.requests = answer, 0
        self._listener = socket.create_server(('127.0.0.1', free_port()))
        self.address = '127.0.0.1:%d' % self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    received = b''
                    while b'\r\n\r\n' not in received:
                        received += connection.recv(65536) or b'\r\n\r\n'
                    self.requests += 1
                    connection.sendall(self.answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass  # closing with unread bytes would reset the connection
                except OSError:
                    pass  # the peer was faster
