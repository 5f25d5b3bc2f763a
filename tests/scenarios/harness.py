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

Where things are: programs.py (processes, ports, until), calls.py (HTTP requests), origin.py (the server behind the
mesh), clients.py (raw bytes, load); all of it may be imported from here. Beside them: agents.py (`dpmesh agent` in front of
origins) and registries.py (`dpmesh registry`).
"""
import pathlib
import signal
import sys
import tempfile
import unittest

from calls import Response, get, put, request, wait_http
from clients import Load, RawClient
from origin import Origin, RawOrigin
from programs import EPHEMERAL_FIRST, ROOT, Process, binary, free_port, peer, peer_module, run, stop_all, until

__all__ = ['EPHEMERAL_FIRST', 'ROOT', 'Load', 'Origin', 'Process', 'RawClient', 'RawOrigin', 'Response', 'Scenario', 'binary', 'free_port',
           'get', 'peer', 'peer_module', 'put', 'request', 'run', 'stop_all', 'until', 'wait_http']


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

    def raw_origin(self, answer):
        origin = RawOrigin(answer)
        self.addCleanup(origin.stop)
        return origin

    def write(self, name, text):
        """A file in the test's own folder; returns its path."""
        path = self.dir / name
        path.write_text(text)
        return path
