"""What a scenario needs to start real programs, talk to them, hurt them and watch them.

A scenario is one page: a class derived from Scenario in a file test_*.py, run by `python3 -m unittest`
in this folder or by ctest. Everything is on loopback, on ports that free_port() gave; everything that was
started is gone when the test ends, and if it failed, the end of each log is printed. Nothing sleeps to let
something happen: until() polls a condition and fails at a deadline. Python 3.11, standard library only.

    class Retries(Scenario):
        def test_a_failing_endpoint_costs_the_caller_nothing(self):
            good, bad = self.origin('good'), self.origin('bad', status=503)
            port = free_port()
            self.start(binary('dpmesh'), 'agent', '--config', self.write('mesh.yaml', CONFIG.format(...)))
            wait_http(f'http://127.0.0.1:{port}/')
            with Load(f'http://127.0.0.1:{port}/') as load:
                load.wait(500)
            self.assertEqual(load.failures, {})
"""
import atexit
import collections
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.01      # how often until() looks
STOP_SECONDS = 10        # from SIGTERM to SIGKILL
TAIL_BYTES = 4000        # of each log, when a test failed
SEEN_MAX = 1000          # requests an Origin remembers
EPHEMERAL_FIRST = 32768  # the kernel hands out ports from here; a listener of ours would collide with them

_reserved = {}           # port -> the socket that reserves it
_running = set()         # processes not yet stopped


def until(condition, deadline=10.0, what='the condition'):
    """The first true value of condition(). Fails when the deadline (seconds from now) has passed."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not true within {deadline:g} s (last: {value!r})')
        time.sleep(POLL_SECONDS)


def free_port():
    """A TCP port below the ephemeral range where nobody listens, never given twice on this machine at a time.

    An abstract Unix socket per port is the reservation: it is atomic between test processes that run side by
    side, and the kernel drops it when we die.
    """
    for _ in range(1000):
        port = random.randrange(10000, EPHEMERAL_FIRST)
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            mark.bind(f'\0datapunk-mesh-port-{port}')
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind(('127.0.0.1', port))
                udp.bind(('127.0.0.1', port))
        except OSError:
            mark.close()
            continue
        _reserved[port] = mark
        return port
    raise AssertionError('no free port between 10000 and 32767')


def binary(name):
    """A program of ours, from MESH_BIN_DIR (set by ctest) or the usual build folders."""
    folders = [os.environ['MESH_BIN_DIR']] if 'MESH_BIN_DIR' in os.environ else [
        ROOT / 'build/release', ROOT / 'build/run']
    for folder in folders:
        path = pathlib.Path(folder) / name
        if os.access(path, os.X_OK):
            return str(path)
    raise AssertionError(f'{name} is not built: looked in {", ".join(map(str, folders))}')


def peer(name):
    """A foreign program. Skips the test with PEERS=0; without it a missing program is a failure."""
    if os.environ.get('PEERS') == '0':
        raise unittest.SkipTest(f'PEERS=0: {name} not used')
    path = shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if not path:
        raise AssertionError(f'{name} is not installed (PEERS=0 leaves it out)')
    return path


class Process:
    """A program in a process group of its own, with stdout and stderr in one log file."""

    def __init__(self, *argv, log, env=None, cwd=None):
        self.argv, self.name, self.log_path = list(map(str, argv)), pathlib.Path(str(argv[0])).name, pathlib.Path(log)
        # A group survives a SIGKILL of the test, so ask the kernel to end its leader with us. The signal comes
        # when the *thread* that started it ends, hence only from the main one.
        main = threading.current_thread() is threading.main_thread()
        guard = ['setpriv', '--pdeathsig', 'KILL'] if main and shutil.which('setpriv') else []
        with open(self.log_path, 'ab') as out:
            self._popen = subprocess.Popen(guard + self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                           env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True)
        self.pid = self._popen.pid
        _running.add(self)

    def exit_code(self):
        """None while it runs; -N when signal N ended it."""
        return self._popen.poll()

    def send_signal(self, number):
        self._popen.send_signal(number)

    def wait(self, deadline=10.0):
        until(lambda: self.exit_code() is not None, deadline, f'the end of {self.name}\n{self.tail()}')
        return self.exit_code()

    def stop(self, first=signal.SIGTERM):
        """Ends the whole group: first politely, after STOP_SECONDS with SIGKILL. Returns the exit code."""
        if self in _running:
            _running.discard(self)
            self._signal_group(first)
            try:
                self._popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            self._signal_group(signal.SIGKILL)
            self._popen.wait()
        return self._popen.returncode

    def kill(self):
        """What a crash looks like from outside."""
        return self.stop(signal.SIGKILL)

    def log(self):
        return self.log_path.read_text(errors='replace')

    def tail(self):
        return f'--- {" ".join(self.argv)} (exit code {self.exit_code()}), end of its log:\n{self.log()[-TAIL_BYTES:]}'

    def wait_log(self, text, deadline=10.0):
        until(lambda: text in self.log() or self._must_run(), deadline, f'{text!r} in the log of {self.name}')

    def _must_run(self):
        if self.exit_code() is not None:
            raise AssertionError(f'{self.name} ended\n{self.tail()}')
        return False

    def _signal_group(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass


def stop_all():
    for process in list(_running):
        process.stop()


atexit.register(stop_all)


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode(errors='replace')

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'<{self.status} {self.body[:200]!r}>'


def request(method, url, body=None, headers=None, timeout=5.0):
    """One HTTP request on a connection of its own. OSError and http.client.HTTPException are the caller's."""
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=timeout)
    try:
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, at.path + (f'?{at.query}' if at.query else '') or '/', body, headers or {})
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def get(url, **more):
    return request('GET', url, **more)


def put(url, body=b'', **more):
    return request('PUT', url, body=body, **more)


def wait_http(url, predicate=lambda answer: answer.status == 200, deadline=10.0, process=None):
    """The first answer that satisfies the predicate; connection errors count as 'not yet'.

    With a process, its end is a failure at once, with its log.
    """
    last = None

    def ready():
        nonlocal last
        if process:
            process._must_run()
        try:
            last = get(url, timeout=min(deadline, 2.0))
        except (OSError, http.client.HTTPException) as error:
            last = error
            return None
        return last if predicate(last) else None

    try:
        return until(ready, deadline, url)
    except AssertionError as error:
        log = f'\n{process.tail()}' if process and process.exit_code() is None else ''  # else the error has it
        raise AssertionError(f'{error}; last answer: {last!r}{log}') from None


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


class RawClient:
    """A TCP connection for bytes no HTTP library would send."""

    def __init__(self, port, timeout=5.0):
        self._socket = socket.create_connection(('127.0.0.1', port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout, self.received = timeout, b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, data):
        self._socket.sendall(data)
        return self

    def end(self):
        """Nothing more will be sent; answers may still come."""
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def read_until(self, marker, deadline=None):
        """Everything received up to and with the marker; what follows stays for the next read."""
        end = time.monotonic() + (deadline or self.timeout)
        while marker not in self.received:
            if not self._more(end):
                raise AssertionError(f'closed before {marker!r}: {self.received[-500:]!r}')
        at = self.received.index(marker) + len(marker)
        head, self.received = self.received[:at], self.received[at:]
        return head

    def read_all(self, deadline=None):
        """Everything until the peer closes. A peer that does not is a failure."""
        end = time.monotonic() + (deadline or self.timeout)
        while self._more(end):
            pass
        data, self.received = self.received, b''
        return data

    def _more(self, end):
        self._socket.settimeout(max(end - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise AssertionError(f'nothing more before the deadline, still open: {self.received[-500:]!r}') from None
        except ConnectionResetError:
            return False
        self.received += data
        return bool(data)


class Load:
    """Threads that send GETs on keep-alive connections and count what comes of them.

    An answer below 400 is a success, any other a failure under its status, an exception under its type. A kept
    connection that the server closed before answering is tried once more on a fresh one, as every client does.
    """

    def __init__(self, url, threads=4, headers=None, timeout=5.0, pause=0.0):
        self.url, self.headers, self.timeout, self.pause = urllib.parse.urlsplit(url), headers or {}, timeout, pause
        self.successes, self.reconnects = 0, 0
        self.failures = collections.Counter()   # '503' or 'TimeoutError' -> how many
        self.origins = collections.Counter()    # x-origin of the answers -> how many
        self.seconds = collections.deque(maxlen=100_000)
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(self.timeout * 2 + 1)

    @property
    def requests(self):
        with self._lock:
            return self.successes + self.failures.total()

    def wait(self, more, deadline=30.0):
        """Until so many more requests have been answered or have failed."""
        goal = self.requests + more
        until(lambda: self.requests >= goal, deadline, f'{more} more requests')

    def quantile(self, q):
        with self._lock:
            ordered = sorted(self.seconds)
        return ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    def _run(self):
        connection = None
        while not self._stopping.is_set():
            fresh = connection is None or connection.sock is None
            began = time.monotonic()
            try:
                if fresh:
                    connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=self.timeout)
                connection.request('GET', self.url.path or '/', headers=self.headers)
                answer = connection.getresponse()
                answer.read()
                self._count(str(answer.status) if answer.status >= 400 else None, answer, time.monotonic() - began)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                connection.close()
                if fresh:
                    self._count(type(error).__name__)
                else:
                    with self._lock:
                        self.reconnects += 1
                continue
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._count(type(error).__name__)
            self._stopping.wait(self.pause)
        if connection:
            connection.close()

    def _count(self, failure, answer=None, seconds=None):
        with self._lock:
            if answer is not None:
                self.origins[answer.headers.get('x-origin', '')] += 1
                self.seconds.append(seconds)
            if failure:
                self.failures[failure] += 1
            else:
                self.successes += 1


class Scenario(unittest.TestCase):
    """A test that starts programs. They end with it; if it failed, the end of their logs is printed."""

    def run(self, result=None):
        result = result if result is not None else self.defaultTestResult()
        self._processes = []
        before = len(result.failures) + len(result.errors)
        with tempfile.TemporaryDirectory(prefix='mesh-scenario-') as folder:
            self.dir = pathlib.Path(folder)
            super().run(result)
            for process in self._processes:
                process.stop(signal.SIGKILL)
            if len(result.failures) + len(result.errors) > before:
                for process in self._processes:
                    print(process.tail(), file=sys.stderr, flush=True)
        return result

    def start(self, *argv, env=None):
        log = self.dir / f'{len(self._processes)}.log'
        process = Process(*argv, log=log, env=env, cwd=self.dir)
        self._processes.append(process)
        self.addCleanup(process.stop)
        return process

    def origin(self, name, **knobs):
        origin = Origin(name, **knobs)
        self.addCleanup(origin.stop)
        return origin

    def write(self, name, text):
        """A file in the test's own folder; returns its path."""
        path = self.dir / name
        path.write_text(text)
        return path
