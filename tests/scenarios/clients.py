"""Clients in front of the mesh: one for bytes no library would send, one for load."""
import collections
import http.client
import socket
import threading
import time
import urllib.parse

from programs import until


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

    def more(self):
        """Waits for more bytes; they are in `received`. False when the peer has closed."""
        return self._more(time.monotonic() + self.timeout)

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
    """Threads that send GETs on keep-alive connections, or each on a `fresh` one, and count what comes of them.

    An https URL needs `tls`, an ssl.SSLContext.

    An answer below 400 is a success, any other a failure under its status, an exception under its type. A kept
    connection that the server closed before answering is tried once more on a fresh one, as every client does.
    """

    def __init__(self, url, threads=4, headers=None, timeout=5.0, pause=0.0, tls=None, fresh=False):
        self.url, self.headers, self.timeout, self.pause = urllib.parse.urlsplit(url), headers or {}, timeout, pause
        self.tls, self.fresh = tls, fresh
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
                    connection = self._connection()
                connection.request('GET', self.url.path or '/', headers=self.headers)
                answer = connection.getresponse()
                answer.read()
                self._count(str(answer.status) if answer.status >= 400 else None, answer, time.monotonic() - began)
                if self.fresh:
                    connection.close()
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

    def _connection(self):
        if self.url.scheme == 'https':
            return http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=self.timeout, context=self.tls)
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=self.timeout)

    def _count(self, failure, answer=None, seconds=None):
        with self._lock:
            if answer is not None:
                self.origins[answer.headers.get('x-origin', '')] += 1
                self.seconds.append(seconds)
            if failure:
                self.failures[failure] += 1
            else:
                self.successes += 1
