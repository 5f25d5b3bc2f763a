"""A new process takes the place of a running one: nothing is refused, what is in flight ends well, and a bad successor changes nothing."""
import os
import signal
import socket
import stat
import threading
import unittest

from harness import Load, RawClient, Scenario, binary, free_port, get, request, until, wait_http

STATIC = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
upgrade: {{socket: {socket}}}
drain_timeout: 20s
workers: {workers}
listeners:
  - {{name: web, port: {port}}}
routes: [{{service: api}}]
services: {{api: {{endpoints: [{endpoint}]}}}}
"""
EMBEDDED = """
version: 1
registry: {{kind: embedded, embedded: {{port: {registry}, data_dir: {data}, dns: {{enabled: false}}}}}}
admin: {{port: {admin}}}
upgrade: {{socket: {socket}}}
drain_timeout: 20s
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
register: [{{name: api, id: api-1, host: 127.0.0.1, port: {api}}}]
"""


class Upgrade(Scenario):
    def setUp(self):
        self.port, self.admin = free_port(), free_port()
        self.socket = self.dir / 'upgrade.sock'

    def agent(self, text, *flags, **values):
        config = self.write('mesh.yaml', text.format(port=self.port, admin=self.admin, socket=self.socket, **values))
        return self.start(binary('dpmesh'), 'agent', '--config', config, *flags)

    def ready(self, process):
        """The agent of that process id answers at the admin port, and it alone."""
        wait_http(f'http://127.0.0.1:{self.admin}/ready', process=process)
        return process

    def followed(self, old, new):
        """The old process has drained and gone; the new one serves."""
        self.assertEqual(old.wait(deadline=25), 0)
        self.ready(new)

    def test_ten_generations_under_load(self):
        origin = self.origin('api')
        agent = self.ready(self.agent(STATIC, endpoint=f'"{origin.address}"', workers=1))
        with Load(f'http://127.0.0.1:{self.port}/', threads=4) as kept, FreshConnections(self.port) as fresh:
            kept.wait(200)
            for workers in (1, 2, 2, 1, 3, 1, 1, 2, 1, 1):
                follower = self.agent(STATIC, '--take-over', endpoint=f'"{origin.address}"', workers=workers)
                self.followed(agent, follower)
                agent = follower
                kept.wait(100)
        self.assertEqual((kept.failures, fresh.failures), ({}, []))
        self.assertGreater(fresh.successes, 50)

    def test_what_is_in_flight_ends_with_the_old_one(self):
        slow = self.origin('slow', delay=1.5, body=b'x' * 5000)
        old = self.ready(self.agent(STATIC, endpoint=f'"{slow.address}"', workers=1))
        clients = [RawClient(self.port) for _ in range(20)]
        for client in clients:
            self.addCleanup(client.__exit__)
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        until(lambda: slow.requests == 20)
        new = self.agent(STATIC, '--take-over', endpoint=f'"{slow.address}"', workers=1)
        for client in clients:
            answer = client.read_all()
            self.assertTrue(answer.startswith(b'HTTP/1.1 200') and answer.endswith(b'x' * 5000), answer[:100])
        self.followed(old, new)

    def test_a_successor_that_cannot_start_changes_nothing(self):
        origin, taken = self.origin('api'), socket.create_server(('127.0.0.1', free_port()))
        self.addCleanup(taken.close)
        old = self.ready(self.agent(STATIC, endpoint=f'"{origin.address}"', workers=1))
        bad = STATIC.replace('- {{name: web', '- {{{{name: other, port: {}}}}}\n  - {{{{name: web'.format(taken.getsockname()[1]))
        failed = self.agent(bad, '--take-over', endpoint=f'"{origin.address}"', workers=1)
        self.assertEqual(failed.wait(deadline=10), 1)
        self.assertIsNone(old.exit_code())
        self.assertEqual(get(f'http://127.0.0.1:{self.port}/').text, 'api')
        self.followed(old, self.agent(STATIC, '--take-over', endpoint=f'"{origin.address}"', workers=1))

    def test_a_successor_killed_on_the_way_changes_nothing(self):
        origin = self.origin('api')
        old = self.ready(self.agent(STATIC, endpoint=f'"{origin.address}"', workers=1))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as follower:
            follower.connect(str(self.socket))
            follower.send(b'mesh-handover 1')
            names = []
            while True:
                text, descriptors, _, _ = socket.recv_fds(follower, 256, 1)
                for descriptor in descriptors:
                    os.close(descriptor)
                if text == b'end':
                    break
                names.append(text)
            self.assertEqual(sorted(names), sorted(b'socket 127.0.0.1:%d' % port for port in (self.port, self.admin)))
        self.assertEqual(get(f'http://127.0.0.1:{self.port}/').text, 'api')
        self.assertIsNone(old.exit_code())

    def test_strangers_are_told_so(self):
        origin = self.origin('api')
        self.ready(self.agent(STATIC, endpoint=f'"{origin.address}"', workers=1))
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o600)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.settimeout(5)
            stranger.connect(str(self.socket))
            stranger.send(b'mesh-handover 9')
            self.assertIn(b'error: this process speaks "mesh-handover 1"', stranger.recv(256))

    def test_a_second_agent_does_not_take_the_place_by_accident(self):
        origin = self.origin('api')
        self.ready(self.agent(STATIC, endpoint=f'"{origin.address}"', workers=1))
        elsewhere = self.port, self.admin
        self.port, self.admin = free_port(), free_port()
        second = self.agent(STATIC, endpoint=f'"{origin.address}"', workers=1)
        self.assertEqual(second.wait(deadline=10), 1)
        self.assertIn('another agent runs here', second.tail())
        self.port, self.admin = elsewhere
        self.assertEqual(get(f'http://127.0.0.1:{self.port}/').text, 'api')

    def test_alone_it_just_starts_and_a_dead_ones_socket_is_no_hindrance(self):
        origin = self.origin('api')
        first = self.ready(self.agent(STATIC, '--take-over', endpoint=f'"{origin.address}"', workers=1))
        first.stop(signal.SIGKILL)
        self.assertTrue(self.socket.exists())
        self.ready(self.agent(STATIC, '--take-over', endpoint=f'"{origin.address}"', workers=1))
        self.assertEqual(get(f'http://127.0.0.1:{self.port}/').text, 'api')

    def test_the_embedded_registry_goes_along(self):
        origin, registry = self.origin('api'), free_port()
        values = {'registry': registry, 'data': self.dir / 'data', 'api': origin.port}
        old = self.ready(self.agent(EMBEDDED, **values))
        until(lambda: get(f'http://127.0.0.1:{self.port}/').status == 200)
        request('PUT', f'http://127.0.0.1:{registry}/v1/kv/kept', body=b'yes')
        with Load(f'http://127.0.0.1:{self.port}/', threads=2) as load, Load(f'http://127.0.0.1:{registry}/v1/health/service/api', threads=1) as asking:
            load.wait(50)
            for _ in range(3):
                new = self.agent(EMBEDDED, '--take-over', **values)
                self.followed(old, new)
                old = new
                load.wait(50)
                asking.wait(20)
        self.assertEqual((load.failures, asking.failures), ({}, {}))
        self.assertEqual(get(f'http://127.0.0.1:{registry}/v1/kv/kept?raw').text, 'yes')
        self.assertEqual([entry['Service']['ID'] for entry in get(f'http://127.0.0.1:{registry}/v1/health/service/api').json()], ['api-1'])


class FreshConnections:
    """One request a connection, one after the other: each meets whoever listens at that moment."""

    def __init__(self, port):

        self.port, self.successes, self.failures = port, 0, []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def _run(self):
        while not self._stopping.is_set():
            try:
                with RawClient(self.port) as client:
                    client.send(b'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
                    answer = client.read_all()
                if answer.startswith(b'HTTP/1.1 200'):
                    self.successes += 1
                else:
                    self.failures.append(answer[:200])
            except (AssertionError, OSError) as error:
                self.failures.append(repr(error))


if __name__ == '__main__':
    unittest.main()
