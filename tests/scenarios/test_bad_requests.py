"""What two programs could read in two ways is refused, with its reason, and the connection ends there."""
import unittest

from agents import agent_before
from harness import RawClient, Scenario, get, until

H = b'Host: a\r\n'

# reason in /metrics -> what is sent, each refused for it with 400
MALFORMED = [
    ('two_lengths', b'POST / HTTP/1.1\r\n' + H + b'Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'),
    ('two_lengths', b'POST / HTTP/1.1\r\n' + H + b'Content-Length: 3, 4\r\n\r\nabcd'),
    ('bad_content_length', b'POST / HTTP/1.1\r\n' + H + b'Content-Length: +3\r\n\r\nabc'),
    ('bad_content_length', b'POST / HTTP/1.1\r\n' + H + b'Content-Length: 0x3\r\n\r\nabc'),
    ('bad_content_length', b'POST / HTTP/1.1\r\n' + H + b'Content-Length: 18446744073709551619\r\n\r\nabc'),
    ('bad_content_length', b'POST / HTTP/1.1\r\n' + H + b'Content-Length: \r\n\r\nabc'),
    ('te_and_length', b'POST / HTTP/1.1\r\n' + H + b'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ('te_and_length', b'POST / HTTP/1.1\r\n' + H + b'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n'),
    ('te_in_http10', b'POST / HTTP/1.0\r\n' + H + b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ('space_before_colon', b'POST / HTTP/1.1\r\n' + H + b'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n'),
    ('control_byte', b'GET / HTTP/1.1\r\n' + H + b'Transfer\x0bEncoding: chunked\r\n\r\n'),
    ('bad_field_name', b'GET / HTTP/1.1\r\n' + H + b': nameless\r\n\r\n'),
    ('no_colon', b'GET / HTTP/1.1\r\n' + H + b'nonsense\r\n\r\n'),
    ('obs_fold', b'GET / HTTP/1.1\r\n' + H + b'X: a\r\n Content-Length: 3\r\n\r\n'),
    ('bare_lf', b'GET / HTTP/1.1\n' + H + b'\r\n'),
    ('bare_lf', b'GET / HTTP/1.1\r\n' + H + b'X: a\nContent-Length: 3\r\n\r\n'),
    ('bare_cr', b'GET / HTTP/1.1\r\n' + H + b'X: a\rContent-Length: 3\r\n\r\n'),
    ('control_byte', b'GET / HTTP/1.1\r\n' + H + b'X: a\x00b\r\n\r\n'),
    ('control_byte', b'GET /\x01 HTTP/1.1\r\n' + H + b'\r\n'),
    ('no_host', b'GET / HTTP/1.1\r\n\r\n'),
    ('two_hosts', b'GET / HTTP/1.1\r\n' + H + b'Host: b\r\n\r\n'),
    ('bad_host', b'GET / HTTP/1.1\r\nHost: a b\r\n\r\n'),
    ('bad_host', b'GET / HTTP/1.1\r\nHost: user@a\r\n\r\n'),
    ('host_mismatch', b'GET http://b/ HTTP/1.1\r\n' + H + b'\r\n'),
    ('bad_request_line', b'GET  / HTTP/1.1\r\n' + H + b'\r\n'),
    ('bad_request_line', b'GET /\r\n' + H + b'\r\n'),
    ('bad_method', b'G@T / HTTP/1.1\r\n' + H + b'\r\n'),
    ('bad_target', b'GET a HTTP/1.1\r\n' + H + b'\r\n'),
    ('bad_version', b'GET / HTTP/1.x\r\n' + H + b'\r\n'),
]

# What is wrong in a body; the head was fine.
CHUNKED = b'POST / HTTP/1.1\r\n' + H + b'Transfer-Encoding: chunked\r\n\r\n'
MALFORMED_BODIES = [
    CHUNKED + b'0x3\r\nabc\r\n0\r\n\r\n',
    CHUNKED + b'-1\r\nabc\r\n0\r\n\r\n',
    CHUNKED + b'10000000000000003\r\nabc\r\n0\r\n\r\n',
    CHUNKED + b'3;a=b\r\nabc\r\n0\r\n\r\n',
    CHUNKED + b'3\r\nabcd\r\n0\r\n\r\n',
    CHUNKED + b'3\nabc\r\n0\r\n\r\n',
    CHUNKED + b'0\r\nContent-Length: 3\r\n\r\n',
]


class Refused(Scenario):
    def setUp(self):
        self.api = self.origin('api')
        self.agent = agent_before(self, self.api, listener='head_timeout: 300ms, body_timeout: 300ms, '
                                  'limits: {head_bytes_max: 4096, body_bytes_max: 50000}')

    def refused(self, sent, status, what=None):
        """What came before the connection was closed: one answer, with that status and a reason."""
        with RawClient(self.agent.port) as client:
            try:
                client.send(sent)
            except OSError:
                pass  # closed before all was sent
            answer = client.read_all()
        self.assertEqual(answer.count(b'HTTP/1.1 '), 1, answer)
        self.assertTrue(answer.startswith(b'HTTP/1.1 %d ' % status), answer)
        self.assertIn(b'\r\nconnection: close\r\n', answer.lower())
        self.assertIn(b'\r\nx-mesh-reason: ', answer.lower())
        if what:
            self.assertIn(what, answer)
        return answer

    def bad_requests(self, reason):
        return self.agent.metric('mesh_bad_requests_total', listener='web', reason=reason)

    def test_malformed_heads(self):
        for reason, sent in MALFORMED:
            with self.subTest(reason=reason, sent=sent):
                before = self.bad_requests(reason)
                self.refused(sent + b'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n', 400, reason.encode())
                self.assertEqual(self.bad_requests(reason), before + 1)
        self.assertEqual(self.api.requests, 0)

    def test_malformed_bodies(self):
        for sent in MALFORMED_BODIES:
            with self.subTest(sent):
                before = self.bad_requests('malformed_request')
                self.refused(sent + b'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n', 400)
                self.assertEqual(self.bad_requests('malformed_request'), before + 1)
        self.assertNotIn('/smuggled', [path for _, path, _ in self.api.seen])

    def test_what_is_not_supported_here(self):
        self.refused(b'GET / HTTP/2.0\r\n' + H + b'\r\n', 505)
        self.refused(b'POST / HTTP/1.1\r\n' + H + b'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 501)
        self.refused(b'POST / HTTP/1.1\r\n' + H + b'Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n', 501)
        self.refused(b'GET / HTTP/1.1\r\n' + H + b'Expect: cake\r\n\r\n', 417)
        self.refused(b'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n', 501, b'method_not_proxied')
        self.assertEqual(self.api.requests, 0)

    def test_paths_that_climb(self):
        for path in b'/a/../b', b'/a/%2e%2E/b', b'/./', b'/a%2f..%2fb', b'/a/..;/b':
            with self.subTest(path), RawClient(self.agent.port) as client:
                client.send(b'GET ' + path + b' HTTP/1.1\r\n' + H + b'\r\n')
                self.assertIn(b' 400 ', client.read_until(b'\r\n'))
        self.assertEqual(self.api.requests, 0)

    def test_a_head_over_the_limit_is_a_431(self):
        head = b'GET / HTTP/1.1\r\n' + H + b'X: '
        room = 4096 - len(head) - 4
        with RawClient(self.agent.port) as client:
            client.send(head + b'x' * room + b'\r\n\r\n')
            self.assertIn(b' 200 ', client.read_until(b'\r\n'))
        self.refused(head + b'x' * (room + 1) + b'\r\n\r\n', 431)
        self.refused(b'GET / HTTP/1.1\r\n' + H + b'X: y\r\n' * 101 + b'\r\n', 431, b'too_many_fields')
        self.assertEqual(self.bad_requests('head_too_large'), 1)

    def test_a_body_over_the_limit_is_a_413(self):
        with RawClient(self.agent.port) as client:
            client.send(b'PUT / HTTP/1.1\r\n' + H + b'Content-Length: 50000\r\n\r\n' + b'x' * 50000)
            self.assertIn(b' 200 ', client.read_until(b'\r\n'))
        self.assertEqual(self.api.requests, 1)
        self.refused(b'PUT / HTTP/1.1\r\n' + H + b'Content-Length: 50001\r\n\r\n' + b'x' * 50001, 413, b'body_too_large')
        self.assertEqual(self.api.requests, 1)
        chunks = b'6000\r\n' + b'x' * 0x6000 + b'\r\n'
        self.refused(b'PUT / HTTP/1.1\r\n' + H + b'Transfer-Encoding: chunked\r\n\r\n' + chunks * 3 + b'0\r\n\r\n', 413)

    def test_a_slow_head_is_cut_off(self):
        with RawClient(self.agent.port) as client:
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n')
            answer = client.read_all(deadline=3)
        self.assertIn(b' 408 ', answer.split(b'\r\n')[0])
        self.assertIn(b'x-mesh-reason: request_timeout', answer)

    def test_a_slow_body_is_cut_off(self):
        with RawClient(self.agent.port) as client:
            client.send(b'PUT / HTTP/1.1\r\n' + H + b'Content-Length: 10\r\n\r\nabc')
            self.assertIn(b' 408 ', client.read_all(deadline=3).split(b'\r\n')[0])

    def test_an_unfinished_request_never_looks_finished_behind(self):
        with RawClient(self.agent.port) as client:
            client.send(b'PUT / HTTP/1.1\r\n' + H + b'Content-Length: 10\r\n\r\nabc').end()
            client.read_all()
        self.assertEqual(self.api.requests, 0)

    def test_refusals_leave_no_connection_behind(self):
        for _, sent in MALFORMED[:5]:
            with RawClient(self.agent.port) as client:
                client.send(sent)
                client.read_all()
        until(lambda: self.agent.metric('mesh_listener_connections_open', listener='web') == 0)
        self.assertEqual(get(self.agent.url + '/').status, 200)


class TooMany(Scenario):
    def test_connections_over_the_limit_are_refused_and_counted(self):
        agent = agent_before(self, self.origin('api'), listener='limits: {connections_max: 2}')
        clients = [RawClient(agent.port) for _ in range(2)]
        for client in clients:
            self.addCleanup(client.__exit__)
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
            self.assertIn(b' 200 ', client.read_until(b'\r\n\r\n'))  # accepted, and kept
        try:  # the reset may come before or after the connection is seen to be made
            with RawClient(agent.port) as third:
                self.assertEqual(third.read_all(), b'')
        except ConnectionResetError:
            pass
        clients[1].send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        self.assertIn(b' 200 ', clients[1].read_until(b'\r\n\r\n'))
        until(lambda: agent.metric('mesh_bad_requests_total', reason='too_many_connections') == 1)


if __name__ == '__main__':
    unittest.main()
