"""What HTTP/2 could smuggle into HTTP/1.1, as raw frames, judged by a strict endpoint of HTTP/1.1: refused, or made harmless."""
import unittest

from agents import agent_before
from harness import Scenario
from http2_frames import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Peer, block, frame
from strict_origin import StrictOrigin

NEXT = 'GET /smuggled HTTP/1.1\r\nhost: api\r\n\r\n'


def attack(*more, method='GET', path='/', scheme='http', authority='api', body=None):
    """The fields of a request, and its body."""
    pseudo = [(':method', method), (':scheme', scheme), (':path', path), (':authority', authority)]
    return block(*((name, value) for name, value in pseudo if value is not None), *more), body


ATTACKS = {
    'CRLF in a value': attack(('x', 'a\r\nb: c')), 'line feed in a value': attack(('x', 'a\nb: c')), 'return in a value': attack(('x', 'a\rb')),
    'zero in a value': attack(('x', 'a\0b')), 'a request in a value': attack(('x', 'a\r\n\r\n' + NEXT)), 'a coding in a value': attack(('x', 'a\r\ntransfer-encoding: chunked')),
    'CRLF in a name': attack(('x\r\ny', '1')), 'colon in a name': attack(('transfer-encoding: chunked\r\nx', '1')), 'blank in a name': attack(('x y', '1')),
    'upper case': attack(('Transfer-Encoding', 'chunked')), 'no name': attack(('', '1')), 'zero in a name': attack(('x\0y', '1')),
    'CRLF in the path': attack(path='/ HTTP/1.1\r\nx: y'), 'a request in the path': attack(path='/ HTTP/1.1\r\nhost: api\r\n\r\n' + NEXT), 'blank in the path': attack(path='/a b'),
    'line feed in the path': attack(path='/a\nb'), 'no path': attack(path=None), 'empty path': attack(path=''), 'absolute path': attack(path='http://other/smuggled'),
    'CRLF in the method': attack(method='GET / HTTP/1.1\r\nhost: api\r\n\r\nGET'), 'blank in the method': attack(method='GET /smuggled HTTP/1.1'), 'empty method': attack(method=''),
    'CRLF in the authority': attack(authority='api\r\nx: y'), 'path in the authority': attack(authority='api/smuggled'), 'userinfo in the authority': attack(authority='a@api'),
    'another Host': attack(('host', 'other')), 'two Hosts': attack(('host', 'api'), ('host', 'api')),
    'CRLF in the scheme': attack(scheme='http\r\nx: y'), 'request in the scheme': attack(scheme='http://other/smuggled?'),
    'chunked': attack(('transfer-encoding', 'chunked'), method='POST', body='0\r\n\r\n' + NEXT), 'chunked in a list': attack(('transfer-encoding', 'identity, chunked'), method='POST', body='0\r\n\r\n' + NEXT),
    'connection': attack(('connection', 'transfer-encoding')), 'upgrade': attack(('upgrade', 'h2c'), ('http2-settings', '')), 'TE of another kind': attack(('te', 'chunked')),
    'two lengths': attack(('content-length', '0'), ('content-length', '5'), method='POST', body='abcde'), 'length and more': attack(('content-length', '0'), method='POST', body=NEXT),
    'length and less': attack(('content-length', '99'), method='POST', body='abcde'), 'length with a sign': attack(('content-length', '+5'), method='POST', body='abcde'),
    'list of lengths': attack(('content-length', '5, 5'), method='POST', body='abcde'),
    'a second path': attack((':path', '/smuggled')), 'path after a field': (block((':method', 'GET'), (':scheme', 'http'), ('x', '1'), (':path', '/smuggled'), (':authority', 'api')), None),
}
TRAILERS = {
    'length as a trailer': block(('content-length', '5')), 'coding as a trailer': block(('transfer-encoding', 'chunked')), 'host as a trailer': block(('host', 'other')),
    'CRLF in a trailer': block(('x', 'a\r\n\r\n' + NEXT)), 'path as a trailer': block((':path', '/smuggled')),
}


class Downgrade(Scenario):
    def setUp(self):
        self.origin = StrictOrigin()
        self.addCleanup(self.origin.stop)
        self.agent = agent_before(self, self.origin, listener='body_timeout: 250ms')

    def verdict(self, *frames):
        """The status of the answer, "reset" or "closed"."""
        with Peer(self.agent.port) as peer:
            peer.send(*frames)
            got = peer.wait(lambda f: f[0] in (HEADERS, RST_STREAM, GOAWAY), 'a verdict')
            return 'closed' if got is None else {HEADERS: 'answered', RST_STREAM: 'reset', GOAWAY: 'closed'}[got[0]], got

    def refused(self, name, *frames):
        verdict, got = self.verdict(*frames)
        requests, unsafe, _ = self.origin.take()
        self.assertEqual((unsafe, [one for one in requests if b'smuggled' in one[1] or one[2] not in (b'', b'abcde')]), ([], []), name)
        return requests == [] and (verdict != 'answered' or got[3][:1] != b'\x88')  # :status 200

    def test_what_could_be_two_requests_is_none(self):
        passed = []
        for name, (fields, body) in ATTACKS.items():
            if body is None:
                frames = [frame(HEADERS, END_STREAM | END_HEADERS, 1, fields)]
            else:
                frames = [frame(HEADERS, END_HEADERS, 1, fields), frame(DATA, END_STREAM, 1, body.encode())]
            if not self.refused(name, *frames):
                passed.append(name)
        for name, fields in TRAILERS.items():
            post, _ = attack(method='POST')
            if not self.refused(name, frame(HEADERS, END_HEADERS, 1, post), frame(DATA, 0, 1, b'abcde'), frame(HEADERS, END_STREAM | END_HEADERS, 1, fields)):
                passed.append(name)
        print(f'\n{len(ATTACKS) + len(TRAILERS)} attacks: {len(passed)} passed on')
        self.assertEqual(passed, [])

    def test_what_is_good_passes(self):
        self.assertFalse(self.refused('', frame(HEADERS, END_HEADERS, 1, attack(('content-length', '5'), method='POST')[0]), frame(DATA, END_STREAM, 1, b'abcde')))
        self.assertFalse(self.refused('', frame(HEADERS, END_HEADERS, 1, attack(method='POST')[0]), frame(DATA, 0, 1, b'abcde'), frame(HEADERS, END_STREAM | END_HEADERS, 1, block(('x', 'y')))))


if __name__ == '__main__':
    unittest.main()
