"""gRPC-Web before a server of python3-grpcio: gRPC's own client for browsers, in Node.js, and requests as bytes."""
import base64
import http.client
import pathlib
import struct

from agents import Agent, agent_before
from harness import ROOT, RawClient, Scenario, free_port, peer, peer_module, run

peer_module('grpc')
HERE = pathlib.Path(__file__).parent


def message(text):
    return b'\0' + struct.pack('>I', len(text)) + text


def frames(body):
    """Flag and bytes of each."""
    while body:
        size = struct.unpack('>I', body[1:5])[0]
        yield body[0], body[5:5 + size]
        body = body[5 + size:]


CORS = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners: [{{name: web, port: {port}, grpc_web: true}}]
routes:
  - service: api
    cors:
      allow_origins: ["https://page.example"]
      allow_headers: [content-type, x-grpc-web, x-user-agent, grpc-timeout]
      expose_headers: [grpc-status, grpc-message, x-mesh-reason]
services: {{api: {{endpoints: ["{endpoint}"]}}}}
"""


class GrpcWeb(Scenario):
    def setUp(self):
        port = free_port()
        self.server = server = self.start('/usr/bin/python3', str(HERE / 'grpc_echo_server.py'), str(port), 'one')
        server.wait_log('ready')
        server.address = f'127.0.0.1:{port}'
        self.agent = agent_before(self, server, listener='grpc_web: true', policy='retry: {attempts: 1}, breaker: {enabled: false}, outlier: {enabled: false}')

    def client(self, form):
        node, _ = peer('node'), peer('npm')
        done = run(ROOT / 'tools/peers/npm_grpc_web.sh', deadline=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run(node, HERE / 'grpc_web_client.js', done.stdout.strip(), f'http://127.0.0.1:{self.agent.port}', form, deadline=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def test_grpcs_own_client_in_text(self):
        unary, large, missing, away, stream, nowhere = self.client('text')
        self.assertEqual(unary, 'Unary: answer hello status 0 x-name one')
        self.assertEqual(large, 'Unary: answer 300000 status 0 x-name one')
        self.assertRegex(missing, r'Fail: error 5 no \d')
        self.assertRegex(away, r'Fail: error 14 no \d')
        self.assertEqual(stream, 'Down: 300 messages, the last 299')
        self.assertRegex(nowhere, 'Nowhere: error 12')
        self.assertEqual(self.agent.metric('mesh_grpc_requests_total', method='/test.Echo/Unary', status='OK'), 2)
        self.assertEqual(self.agent.metric('mesh_grpc_requests_total', method='/test.Echo/Fail', status='UNAVAILABLE'), 1)

    def test_grpcs_own_client_in_binary(self):
        unary, large, missing, away, nowhere = self.client('binary')
        self.assertEqual(unary, 'Unary: answer hello status 0 x-name one')
        self.assertEqual(large, 'Unary: answer 300000 status 0 x-name one')
        self.assertRegex(missing, r'Fail: error 5 no \d')
        self.assertRegex(away, r'Fail: error 14 no \d')
        self.assertRegex(nowhere, 'Nowhere: error 12')

    def ask(self, path, body, method='POST', **fields):
        connection = http.client.HTTPConnection('127.0.0.1', self.agent.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, path, body, {name.replace('_', '-'): value for name, value in fields.items()})
        answer = connection.getresponse()
        return answer, answer.read()

    def test_deadlines_hold_and_pass_on(self):
        answer, body = self.ask('/test.Echo/Unary', message(b'a'), content_type='application/grpc-web+proto', grpc_timeout='5S')
        self.assertEqual((answer.status, answer.headers['content-type']), (200, 'application/grpc-web'))
        (flag, echo), (last, trailers) = frames(body)
        self.assertEqual((flag, echo, last), (0, b'a', 0x80))
        self.assertIn(b'grpc-status: 0\r\n', trailers)
        self.assertRegex(trailers, rb'x-left: [34]\.\d')
        answer, body = self.ask('/test.Echo/Sleep', message(b'5'), content_type='application/grpc-web', grpc_timeout='200m')
        # Whoever notices first says so, the endpoint in a frame or in its head.
        self.assertIn(b'grpc-status: 4\r\n', body + b'grpc-status: %s\r\n' % (answer.headers['grpc-status'] or '').encode())

    def test_pages_of_another_origin_may_call(self):
        self.agent = Agent(self, CORS, endpoint=self.server.address)
        page = {'origin': 'https://page.example'}
        asked = {'access_control_request_method': 'POST', 'access_control_request_headers': 'content-type,x-grpc-web'}
        answer, _ = self.ask('/test.Echo/Unary', None, 'OPTIONS', **page, **asked)
        self.assertEqual((answer.status, answer.headers['access-control-allow-origin']), (204, 'https://page.example'))
        self.assertIn('x-grpc-web', answer.headers['access-control-allow-headers'])
        answer, body = self.ask('/test.Echo/Unary', message(b'a'), content_type='application/grpc-web', **page)
        self.assertEqual((answer.status, answer.headers['access-control-allow-origin']), (200, 'https://page.example'))
        self.assertIn(b'grpc-status: 0\r\n', body)
        self.server.stop()
        answer, body = self.ask('/test.Echo/Unary', message(b'a'), content_type='application/grpc-web', **page)
        self.assertEqual((answer.status, answer.headers['access-control-allow-origin'], answer.headers['grpc-status'], body), (200, 'https://page.example', '14', b''))
        self.assertIn('grpc-status', answer.headers['access-control-expose-headers'])

    def test_each_message_comes_as_it_is_made(self):
        head = b'POST /test.Echo/Both HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\nTransfer-Encoding: chunked\r\n\r\n'
        with RawClient(self.agent.port, timeout=10) as client:
            client.send(head)
            for i in range(3):
                piece = base64.b64encode(message(b'%d' % i))
                client.send(b'%x\r\n%s\r\n' % (len(piece), piece))
                answer = base64.b64encode(message(b'<%d>' % i))
                while answer not in client.received:
                    client.more()
            client.send(b'0\r\n\r\n')
            while not client.received.endswith(b'0\r\n\r\n'):
                client.more()
        self.assertIn(b'content-type: application/grpc-web-text', client.received)

    def test_by_http2(self):
        done = run(peer('curl'), '-s', '--http2-prior-knowledge', '--data-binary', '@-', '-H', 'content-type: application/grpc-web-text',
                   f'http://127.0.0.1:{self.agent.port}/test.Echo/Unary', stdin=base64.b64encode(message(b'abc')).decode())
        body = b''.join(base64.b64decode(group) for group in done.stdout.encode().replace(b'=', b'= ').replace(b'= = ', b'== ').split())
        (_, echo), (flag, _) = frames(body)
        self.assertEqual((echo, flag), (b'abc', 0x80))


if __name__ == '__main__':
    import unittest
    unittest.main()
