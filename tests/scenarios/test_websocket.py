"""WebSocket through the proxy, by the npm package `ws` on both sides: HTTP/1.1, TLS and the extended CONNECT of HTTP/2."""
import signal
import socket
import unittest

from agents import Agent
from certificates import Authority
from harness import ROOT, RawClient, Scenario, free_port, peer, run, until

CONFIG = """
registry: {{kind: static}}
admin: {{port: {admin}}}
drain_timeout: 2s
listeners:
  - {{name: web, port: {port}, access_log: true}}
{more}
routes: [{{service: api}}]
services:
  api: {{endpoints: ["127.0.0.1:{endpoint}"], policy: {{{policy}}}}}
"""
CHECKS = ['greeting', 'text', 'binary', 'ping', 'close']


class WebSockets(Scenario):
    def setUp(self):
        self.node, _ = peer('node'), peer('npm')
        done = run(ROOT / 'tools/peers/npm_ws.sh', deadline=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.folder = done.stdout.strip()

    def peer_argv(self, role, where):
        return self.node, ROOT / 'tests/scenarios/websocket_peer.js', self.folder, role, where

    def server(self, role='server'):
        port = free_port()
        process = self.start(*self.peer_argv(role, port))

        def listens():
            process.must_run()
            with socket.socket() as probe:
                return probe.connect_ex(('127.0.0.1', port)) == 0
        until(listens, what='the WebSocket server listens')
        return port

    def agent(self, endpoint, policy='', more=''):
        return Agent(self, CONFIG, endpoint=endpoint, policy=policy, more=more)

    def tls_agent(self, endpoint):
        certificate, key = Authority(self.dir).issue('web')
        port = free_port()
        more = f'  - {{name: tls, port: {port}, tls: {{certificates: [{{certificate: {certificate}, private_key: {key}}}]}}}}'
        return self.agent(endpoint, more=more), port

    def check(self, role, url):
        done = run(*self.peer_argv(role, url), deadline=30)
        self.assertEqual((done.returncode, done.stdout.split()), (0, ' '.join(f'{check}: ok' for check in CHECKS).split()),
                         done.stdout + done.stderr)

    def test_a_client_and_a_server_that_others_wrote(self):
        agent = self.agent(self.server())
        self.check('client', f'ws://127.0.0.1:{agent.port}/chat')
        until(lambda: agent.metric('mesh_upgrades_total', service='api', protocol='websocket', outcome='finished') == 1, what='counted')
        self.assertGreater(agent.metric('mesh_upgraded_bytes_total', direction='up'), 10_000)
        self.assertEqual(agent.metric('mesh_upgraded_connections_open'), 0)
        until(lambda: any('upgraded' in line and 'websocket' in line and 'finished' in line for line in agent.process.log().splitlines()), what='a line of the access log')

    def test_by_the_extended_connect_of_http2(self):
        agent = self.agent(self.server())
        self.check('client2', f'http://127.0.0.1:{agent.port}/chat')

    def test_over_tls(self):
        _, port = self.tls_agent(self.server())
        self.check('client', f'wss://127.0.0.1:{port}/chat')
        self.check('client2', f'https://127.0.0.1:{port}/chat')

    def test_an_endpoint_of_http2(self):
        agent = self.agent(self.server('server2'), policy='protocol: http2')
        self.check('client', f'ws://127.0.0.1:{agent.port}/chat')
        self.check('client2', f'http://127.0.0.1:{agent.port}/chat')

    def test_draining_lets_it_go_on_until_the_deadline(self):
        agent = self.agent(self.server())
        client = self.start(*self.peer_argv('hold', f'ws://127.0.0.1:{agent.port}/'))
        client.wait_log('open')
        agent.process.send_signal(signal.SIGTERM)
        client.wait_log('closed 1006')
        self.assertEqual(agent.process.wait(), 0)
        self.assertIn('outcome=cut', agent.process.log().replace('"outcome":"cut"', 'outcome=cut'))

    def test_an_endpoint_that_refuses_is_heard(self):
        agent = self.agent(self.server())
        with RawClient(agent.port) as client:
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: short\r\n'
                        b'Sec-WebSocket-Version: 13\r\n\r\n')
            self.assertIn(b'HTTP/1.1 400', client.read_until(b'\r\n\r\n'))
        self.assertEqual(agent.metric('mesh_upgrades_total'), 0)


if __name__ == '__main__':
    unittest.main()
