"""The proxy carries requests and answers as they are, to where the routes say."""
import http.client
import socket
import unittest

from agents import Agent, agent_before
from harness import RawClient, Scenario, free_port, get, request, until

ROUTES = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners:
  - {{name: web, port: {port}}}
  - {{name: inside, port: {inside}}}
routes:
  - {{hosts: [a.example], service: a}}
  - {{hosts: ["*.wild.example"], service: b}}
  - {{listener: inside, service: c}}
services:
  a: {{endpoints: ["{a}"]}}
  b: {{endpoints: ["{b}"]}}
  c: {{endpoints: ["{c}"]}}
"""


class Forwarding(Scenario):
    def setUp(self):
        self.api = self.origin('api')
        self.agent = agent_before(self, self.api)

    def test_the_request_arrives_as_it_was_sent(self):
        echo = request('POST', self.agent.url + '/echo/a%20b?q=1&r=%2F', b'\x00\xffbody', {'X-Own': 'yes'}).json()
        headers = {name.lower(): value for name, value in echo['headers']}
        self.assertEqual((echo['method'], echo['path']), ('POST', '/echo/a%20b?q=1&r=%2F'))
        self.assertEqual(echo['body'].encode('latin-1'), b'\x00\xffbody')
        self.assertEqual(headers['x-own'], 'yes')
        self.assertEqual(headers['host'], f'127.0.0.1:{self.agent.port}')
        self.assertEqual(headers['x-forwarded-for'], '127.0.0.1')
        self.assertEqual(headers['x-forwarded-proto'], 'http')

    def test_the_answer_comes_back_as_it_was_given(self):
        self.api.status, self.api.body = 418, bytes(range(256)) * 400
        self.api.headers['X-Own'] = 'a, b'
        answer = get(self.agent.url)
        self.assertEqual((answer.status, answer.headers['x-own']), (418, 'a, b'))
        self.assertEqual(answer.body, self.api.body)

    def test_a_large_body_arrives_whole_chunked_or_not(self):
        piece = bytes(range(256)) * 256
        plain = request('PUT', self.agent.url + '/echo', piece * 16).json()
        chunked = request('PUT', self.agent.url + '/echo', iter([piece] * 16)).json()
        self.assertEqual(plain['body'].encode('latin-1'), piece * 16)
        self.assertEqual(chunked['body'].encode('latin-1'), piece * 16)

    def test_one_connection_carries_many_requests_and_so_does_the_one_behind(self):
        connection = http.client.HTTPConnection('127.0.0.1', self.agent.port, timeout=5)
        self.addCleanup(connection.close)
        for _ in range(20):
            connection.request('GET', '/')
            self.assertEqual(connection.getresponse().read(), b'api')
        self.assertEqual(self.agent.metric('mesh_listener_connections_total', listener='web'), 1)
        self.assertEqual(self.api.connections, 1)

    def test_requests_sent_at_once_are_answered_in_order(self):
        with RawClient(self.agent.port) as client:
            client.send(b''.join(b'GET /echo/%d HTTP/1.1\r\nHost: a\r\n\r\n' % i for i in range(10)))
            for i in range(10):
                head = client.read_until(b'\r\n\r\n')
                self.assertTrue(head.startswith(b'HTTP/1.1 200'), head)
                self.assertIn(b'"/echo/%d"' % i, client.read_until(b'"body": ""}'))

    def test_hop_by_hop_fields_end_here(self):
        headers = {'Connection': 'close, X-Private', 'X-Private': '1', 'Keep-Alive': 'timeout=9', 'Proxy-Connection': 'x',
                   'TE': 'gzip', 'X-Kept': '1'}
        self.api.headers.update({'Keep-Alive': 'timeout=77', 'X-Answer': '1'})
        answer = get(self.agent.url + '/echo', headers=headers)
        arrived = {name.lower() for name, _ in answer.json()['headers']}
        self.assertIn('x-kept', arrived)
        self.assertFalse(arrived & {'x-private', 'keep-alive', 'proxy-connection', 'te'}, arrived)
        self.assertNotIn('keep-alive', answer.headers)
        self.assertEqual((answer.headers['x-answer'], answer.headers['connection']), ('1', 'close'))

    def test_expect_continue_is_answered_before_the_body(self):
        with RawClient(self.agent.port) as client:
            client.send(b'PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n')
            self.assertEqual(client.read_until(b'\r\n\r\n'), b'HTTP/1.1 100 Continue\r\n\r\n')
            client.send(b'abc')
            self.assertIn(b' 200 ', client.read_until(b'\r\n\r\n'))
            self.assertIn(b'"abc"', client.read_until(b'}'))

    def test_the_trace_goes_on_with_a_span_of_our_own(self):
        trace, span = '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'
        sent = {'traceparent': f'00-{trace}-{span}-01', 'tracestate': 'vendor=1'}
        headers = dict(get(self.agent.url + '/echo', headers=sent).json()['headers'])
        version, its_trace, its_span, flags = headers['traceparent'].split('-')
        self.assertEqual((version, its_trace, flags), ('00', trace, '01'))
        self.assertRegex(its_span, '^(?!0{16})[0-9a-f]{16}$')
        self.assertNotEqual(its_span, span)
        self.assertEqual(headers['tracestate'], 'vendor=1')

    def test_a_trace_begins_here_if_none_or_nonsense_came(self):
        for sent in {}, {'traceparent': '00-zz-01', 'tracestate': 'vendor=1'}:
            headers = dict(get(self.agent.url + '/echo', headers=sent).json()['headers'])
            self.assertRegex(headers['traceparent'], '^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]$')
            self.assertNotIn('tracestate', headers)


class Routes(Scenario):
    def test_lead_by_host_and_by_listener(self):
        a, b, c = self.origin('a'), self.origin('b'), self.origin('c')
        inside = free_port()
        agent = Agent(self, ROUTES, inside=inside, a=a.address, b=b.address, c=c.address)

        def at(port, host):
            answer = get(f'http://127.0.0.1:{port}/', headers={'Host': host})
            return answer.text if answer.status == 200 else (answer.status, answer.headers['x-mesh-reason'])

        self.assertEqual(at(agent.port, 'a.example'), 'a')
        self.assertEqual(at(agent.port, 'A.Example:8080'), 'a')
        self.assertEqual(at(agent.port, 'x.wild.example'), 'b')
        self.assertEqual(at(agent.port, 'wild.example'), (404, 'no_route'))
        self.assertEqual(at(agent.port, 'other'), (404, 'no_route'))
        self.assertEqual(at(inside, 'other'), 'c')


class AccessLog(Scenario):
    def test_has_a_line_for_every_request_and_nothing_can_be_smuggled_into_it(self):
        agent = agent_before(self, self.origin('api'), listener='access_log: true')
        trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
        get(agent.url + '/a?x="y"%0Alevel=error', headers={'Host': 'a.example', 'traceparent': trace})
        agent.process.wait_log('event="request"')
        line, = [line for line in agent.process.log().splitlines() if 'event="request"' in line]
        for words in ('listener=web', 'method=GET', 'host=a.example', 'status=200', 'attempts=1', 'service=api', trace[3:35]):
            self.assertIn(words, line)
        self.assertNotIn('level=error ', line)


class Workers(Scenario):
    def test_two_share_a_listener_and_both_serve(self):
        api = self.origin('api')
        agent = agent_before(self, api, workers=2)
        clients = [socket.create_connection(('127.0.0.1', agent.port), 5) for _ in range(32)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        answers = [client.recv(4096) for client in clients]
        self.assertTrue(all(b' 200 ' in answer for answer in answers))
        until(lambda: agent.metric('mesh_requests_total', service='api', code_class='2xx') == 32)
        self.assertEqual(agent.metric('mesh_listener_connections_open', listener='web'), 32)


if __name__ == '__main__':
    unittest.main()
