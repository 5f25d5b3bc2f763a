"""The PROXY protocol: HAProxy in front of the mesh and behind it, and those who only pretend."""
import json
import socket
import unittest

from agents import Agent
from harness import RawClient, Scenario, free_port, peer, run, until

HTTP = """
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners: [{{name: web, port: {port}, head_timeout: 1s, proxy_protocol_from: [{trusted}]}}]
routes: [{{service: api}}]
services: {{api: {{endpoints: ["{origin}"]}}}}
"""
TCP = """
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners: [{{name: raw, port: {port}, protocol: tcp, tcp: {{service: api, send_proxy: {version}}}}}]
services: {{api: {{endpoints: ["127.0.0.1:{backend}"]}}}}
"""
FRONT = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend in
  bind 127.0.0.1:{port}
  default_backend mesh
backend mesh
  source 127.0.0.9
  server mesh 127.0.0.1:{mesh} {send}
"""
BEHIND = """
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend in
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[dst_port]"
"""
GET = b'GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'


class ProxyProtocol(Scenario):
    def haproxy(self, text, **values):
        port = free_port()
        config = self.write(f'haproxy-{port}.cfg', text.format(port=port, **values))
        self.start(peer('haproxy'), '-db', '-f', config)
        until(lambda: self.listens(port), what='haproxy listens')
        return port

    @staticmethod
    def listens(port):
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
        except OSError:
            return False
        return True

    def mesh(self, trusted='"127.0.0.9"'):
        self.api = self.origin('api')
        return Agent(self, HTTP, trusted=trusted, origin=self.api.address)

    def curl(self, port, source='127.0.0.5', path='/echo'):
        return run(peer('curl'), '-sS', '--max-time', '5', '--interface', source, f'http://127.0.0.1:{port}{path}').stdout

    def forwarded_for(self, text):
        return dict((name.lower(), value) for name, value in json.loads(text)['headers'])['x-forwarded-for']

    def test_the_caller_is_whom_haproxy_says_in_both_versions(self):
        mesh = self.mesh()
        for send in 'send-proxy', 'send-proxy-v2':
            port = self.haproxy(FRONT, mesh=mesh.port, send=send)
            answer = until(lambda port=port: self.curl(port), what='haproxy answers')
            self.assertEqual(self.forwarded_for(answer), '127.0.0.5', send)

    def test_who_is_not_configured_cannot_say_who_he_is(self):
        mesh = self.mesh()
        self.assertEqual(self.forwarded_for(self.curl(mesh.port)), '127.0.0.5')
        with RawClient(mesh.port) as client:
            answer = client.send(b'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n' + GET).read_all()
        self.assertTrue(answer.startswith(b'HTTP/1.1 400'), answer)
        self.assertEqual(self.api.requests, 1)

    def test_who_is_configured_must_begin_with_it(self):
        mesh = self.mesh('"127.0.0.0/8"')
        for first in GET, b'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n' + GET, b'\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01x' + GET:
            with RawClient(mesh.port) as client:
                self.assertEqual(client.send(first).read_all(), b'')
        with RawClient(mesh.port) as silent:
            self.assertEqual(silent.read_all(), b'', 'at the head timeout')
        self.assertEqual(mesh.metric('mesh_bad_requests_total', reason='proxy_protocol'), 4)
        for first, said in ((b'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n', '10.0.0.1'), (b'PROXY TCP6 2001:db8::1 ::1 1 2\r\n', '2001:db8::1'),
                            (b'PROXY UNKNOWN\r\n', '127.0.0.1'), (b'\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', '127.0.0.1')):
            with RawClient(mesh.port) as client:
                answer = client.send(first + GET).read_all()
            self.assertEqual(self.forwarded_for(answer.split(b'\r\n\r\n', 1)[1]), said)
        self.assertEqual(self.api.requests, 4)

    def test_endpoints_are_told_whose_connection_it_is(self):
        for version in 'v1', 'v2':
            behind = self.haproxy(BEHIND)
            mesh = Agent(self, TCP, name=f'{version}.yaml', backend=behind, version=version)
            answer = until(lambda mesh=mesh: self.curl(mesh.port, path='/'), what='haproxy answers')
            self.assertEqual(answer, f'127.0.0.5 {mesh.port}', version)
            mesh.process.stop()


if __name__ == '__main__':
    unittest.main()
