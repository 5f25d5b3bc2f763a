"""Starting programs, waiting for them, ending them; ports for them."""
import atexit
import importlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.01      # how often until() looks
STOP_SECONDS = 10        # from SIGTERM to SIGKILL
TAIL_BYTES = 4000        # of each log, when a test failed
DEBIAN_MODULES = '/usr/lib/python3/dist-packages'
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
    """A program of ours, from DPMESH_BIN_DIR (set by ctest) or the usual build folders."""
    folders = [os.environ['DPMESH_BIN_DIR']] if 'DPMESH_BIN_DIR' in os.environ else [
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


def peer_module(name):
    """A foreign Python module from Debian; as peer()."""
    if os.environ.get('PEERS') == '0':
        raise unittest.SkipTest(f'PEERS=0: python3-{name} not used')
    if DEBIAN_MODULES not in sys.path:  # this Python may not be Debian's own
        sys.path.append(DEBIAN_MODULES)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise AssertionError(f'python3-{name} is not installed (PEERS=0 leaves it out)') from None


def run(*argv, stdin='', env=None, deadline=20.0):
    """A program that ends by itself: its returncode, stdout and stderr."""
    return subprocess.run(list(map(str, argv)), input=stdin, env={**os.environ, **(env or {})}, timeout=deadline,
                          capture_output=True, text=True, errors='replace', check=False)


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
        until(lambda: text in self.log() or self.must_run(), deadline, f'{text!r} in the log of {self.name}')

    def must_run(self):
        """Fails, with the log, if it has ended; else False."""
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
