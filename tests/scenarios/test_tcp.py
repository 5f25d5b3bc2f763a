"""Listeners that relay bytes: who speaks first, who ends first, what breaks, and TLS around and inside."""
import hashlib
import signal
import socket
import ssl
import unittest

from agents import Agent
from certificates import Authority
from harness import RawClient, Scenario, free_port, peer, run, until
from tcp_peers import TcpServer

CONFIG = """
registry: {{kind: static}}
admin: {{port: {admin}}}
drain_timeout: {drain}
listeners:
  - {{name: db, port: {port}, protocol: tcp, access_log: true, tcp: {{{tcp}}}{listener}}}
services:
  api: {{endpoints: [{endpoints}]{service}}}
  other: {{endpoints: ["127.0.0.1:{other}"]}}
"""


class Tcp(Scenario):
    def server(self, **knobs):
        server = TcpServer(**knobs)
        self.addCleanup(server.stop)
        return server

    def agent(self, *endpoints, tcp='service: api', listener='', service='', drain='10s', other=1):
        return Agent(self, CONFIG, tcp=tcp, listener=listener and ', ' + listener, service=service and ', ' + service, drain=drain, other=other,
                     endpoints=', '.join(f'"{endpoint}"' for endpoint in endpoints))

    def outcome(self, agent, outcome, count=1, service='api'):
        until(lambda: agent.metric('mesh_tcp_connections_total', service=service, outcome=outcome) == count, what=f'{count} ended as {outcome}')

    def test_the_server_may_speak_first_and_each_side_end_by_itself(self):
        server = self.server(greeting=b'220 ready\r\n', farewell=b'221 bye\r\n')
        agent = self.agent(server.address)
        with RawClient(agent.port) as client:
            client.read_until(b'220 ready\r\n')
            client.send(b'hello\r\n').read_until(b'hello\r\n')
            self.assertEqual(client.end().read_all(), b'221 bye\r\n')
        self.outcome(agent, 'finished')
        self.assertEqual(agent.metric('mesh_tcp_relayed_bytes_total', direction='up'), 7)
        self.assertEqual(agent.metric('mesh_tcp_relayed_bytes_total', direction='down'), 27)

    def test_redis_is_served(self):
        port = free_port()
        self.start(peer('redis-server'), '--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no')
        agent = self.agent(f'127.0.0.1:{port}')
        until(lambda: 'PONG' in run('redis-cli', '-p', agent.port, 'ping').stdout, what='redis answers')
        value = 'v' * 1_000_000
        run('redis-cli', '-p', agent.port, '-x', 'set', 'k', stdin=value)
        self.assertEqual(len(run('redis-cli', '-p', agent.port, 'get', 'k').stdout.strip()), len(value))

    def test_a_dead_endpoint_costs_callers_nothing(self):
        server = self.server(greeting=b'hi')
        agent = self.agent(f'127.0.0.1:{free_port()}', server.address, service='policy: {balance: {algorithm: round_robin}}')
        for _ in range(30):
            with RawClient(agent.port) as client:
                client.read_until(b'hi')
        self.assertEqual(server.connections, 30)
        self.assertGreaterEqual(agent.metric('mesh_upstream_connect_failures_total', service='api', reason='connect'), 1)
        until(lambda: agent.metric('mesh_breaker_transitions_total', service='api', to='open') + agent.metric('mesh_ejections_total', service='api'),
              what='left out by breaker or ejection')

    def test_without_an_endpoint_the_caller_is_reset(self):
        agent = self.agent(f'127.0.0.1:{free_port()}')
        self.assertEqual(self.turned_away(agent), b'')
        self.outcome(agent, 'connect_failure')

    def test_a_break_off_is_shown_as_one(self):
        server = self.server(greeting=b'half an ans')
        agent = self.agent(server.address)
        raw = socket.create_connection(('127.0.0.1', agent.port), 5)
        self.addCleanup(raw.close)
        self.assertEqual(raw.recv(100), b'half an ans')
        server.reset_all()
        with self.assertRaises(ConnectionResetError):
            raw.recv(100)
        self.outcome(agent, 'upstream_reset')

    def test_idle_and_endless_connections_are_ended(self):
        server = self.server(greeting=b'hi')
        agent = self.agent(server.address, listener='idle_timeout: 1s')
        with RawClient(agent.port) as client:
            self.assertEqual(client.read_all(), b'hi')
        self.outcome(agent, 'idle')
        agent.process.stop()
        agent = self.agent(server.address, tcp='service: api, duration_max: 500ms')
        with RawClient(agent.port) as client:
            self.assertEqual(client.read_all(), b'hi')
        self.outcome(agent, 'duration_max')

    def test_bulk_arrives_whole_both_ways(self):
        server = self.server()
        agent = self.agent(server.address)
        block, count = bytes(range(256)) * 4096, 60
        with socket.create_connection(('127.0.0.1', agent.port), 20) as raw:
            got, digest, sent = 0, hashlib.sha256(), hashlib.sha256()
            for number in range(1, count + 1):
                raw.sendall(block)
                sent.update(block)
                while got < (number - 1) * len(block):
                    data = raw.recv(1 << 20)
                    digest.update(data)
                    got += len(data)
            raw.shutdown(socket.SHUT_WR)
            while data := raw.recv(1 << 20):
                digest.update(data)
                got += len(data)
        self.assertEqual((got, digest.hexdigest()), (len(block) * count, sent.hexdigest()))
        self.outcome(agent, 'finished')
        self.assertEqual(agent.metric('mesh_tcp_relayed_bytes_total', direction='up'), got)

    def test_drain_lets_connections_end_and_cuts_them_at_its_deadline(self):
        server = self.server(greeting=b'hi', farewell=b'bye')
        agent = self.agent(server.address)
        with RawClient(agent.port) as client:
            client.read_until(b'hi')
            agent.process.send_signal(signal.SIGTERM)
            until(lambda: self.refused(agent), what='no new connections')
            client.send(b'still here').read_until(b'still here')
            self.assertEqual(client.end().read_all(), b'bye')
        self.assertEqual(agent.process.wait(), 0)
        agent = self.agent(server.address, drain='300ms')
        with RawClient(agent.port) as client:
            client.read_until(b'hi')
            agent.process.send_signal(signal.SIGTERM)
            self.assertEqual(client.read_all(), b'')
        self.assertEqual(agent.process.wait(), 0)

    @staticmethod
    def turned_away(agent):
        """What a caller gets that is reset, which may be before it knows that it is connected."""
        try:
            with RawClient(agent.port) as client:
                return client.read_all()
        except ConnectionResetError:
            return b''

    @staticmethod
    def refused(agent):
        try:
            socket.create_connection(('127.0.0.1', agent.port), 1).close()
        except OSError:
            return True
        return False

    def test_the_connection_limit_of_a_service_holds(self):
        server = self.server(greeting=b'hi')
        agent = self.agent(server.address, service='policy: {limits: {connections: 2}}')
        held = [RawClient(agent.port) for _ in range(2)]
        for one in held:
            self.addCleanup(one.__exit__)
            one.read_until(b'hi')
        self.assertEqual(self.turned_away(agent), b'')
        self.outcome(agent, 'limit')
        held[0].end()
        held[0].read_all()
        self.outcome(agent, 'finished')
        with RawClient(agent.port) as fourth:
            fourth.read_until(b'hi')

    def test_tls_ends_here_and_begins_anew(self):
        authority = Authority(self.dir)
        web, key = authority.issue('web')
        server = self.server(greeting=b'hi')
        tls = f'tls: {{certificates: [{{certificate: {web}, private_key: {key}}}]}}'
        inner = self.agent(server.address, listener=tls)
        outer = Agent(self, CONFIG, name='outer.yaml', tcp='service: api', listener='', drain='10s', other=1, endpoints=f'"127.0.0.1:{inner.port}"',
                      service=f', tls: {{enabled: true, ca: {authority.ca}}}')
        with RawClient(outer.port) as client:
            client.read_until(b'hi')
            client.send(b'x' * 300_000)
            self.assertEqual(len(client.read_until(b'x' * 300_000)), 300_000)
            self.assertEqual(client.end().read_all(), b'')
        self.outcome(inner, 'finished')
        context = ssl.create_default_context(cafile=authority.ca)
        context.set_alpn_protocols(['postgresql'])
        with socket.create_connection(('127.0.0.1', inner.port), 5) as raw, context.wrap_socket(raw, server_hostname='localhost') as caller:
            self.assertEqual(caller.recv(10), b'hi', 'what is spoken inside is not ours to say')

    def test_tls_passes_through_by_the_name_that_is_asked_for(self):
        authority = Authority(self.dir)
        ports = {}
        for name in 'a', 'b':
            certificate, key = authority.issue(name, f'DNS:{name}.example,DNS:x.{name}.example')
            ports[name] = free_port()
            self.start(peer('openssl'), 's_server', '-accept', f'127.0.0.1:{ports[name]}', '-cert', certificate, '-key', key, '-www', '-quiet')
        agent = self.agent(f'127.0.0.1:{ports["a"]}', other=ports['b'],
                           tcp='sni: [{names: [a.example], service: api}, {names: [b.example, "*.b.example"], service: other}]')
        for name in 'a.example', 'b.example', 'x.b.example':
            done = until(lambda name=name: (one := run(peer('curl'), '-sS', '--cacert', authority.ca, '--resolve', f'{name}:{agent.port}:127.0.0.1', '-o', '/dev/null',
                                                       '-w', '%{http_code} %{ssl_verify_result}', f'https://{name}:{agent.port}/')).returncode == 0 and one, what=name)
            self.assertEqual(done.stdout, '200 0')
        for name in 'x.a.example', 'c.example':
            done = run(peer('curl'), '-sS', '--insecure', '--resolve', f'{name}:{agent.port}:127.0.0.1', f'https://{name}:{agent.port}/')
            self.assertNotEqual(done.returncode, 0)
        self.outcome(agent, 'no_route', 2, '-')
        with RawClient(agent.port) as plain:
            plain.send(b'GET / HTTP/1.1\r\n\r\n').read_all()
        self.outcome(agent, 'no_greeting', 1, '-')


if __name__ == '__main__':
    unittest.main()
