"""A body that its sender did not finish is never presented as finished: both directions, HTTP/1.1 and HTTP/2 on both sides."""
import unittest

import http1_corpus
from agents import agent_before
from clients import RawClient
from harness import Scenario, until
from http2_frames import CANCEL, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Peer, frame, request, u32
from strict_origin import StrictOrigin, Unfinished, Unsafe, read_request

POLICY = 'retry: {attempts: 1}, breaker: {enabled: false}, outlier: {enabled: false}'


def whole_in_http1(port):
    """Whether a caller could take the answer for a whole 200: by its own framing, or the end of the connection."""
    with RawClient(port) as client:
        client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        try:
            while client.more():
                if b'\r\n\r\n' in client.received and client.received[9:12] != b'200':
                    return False
                # The judge reads requests: the body of an answer is framed as theirs.
                head, _, rest = client.received.partition(b'\r\n')
                try:
                    read_request(b'POST / HTTP/1.1\r\nhost: a\r\n' + rest)
                    return b'content-length' in rest.lower() or b'chunked' in rest.lower()
                except Unfinished:
                    pass
        except (ConnectionError, Unsafe):
            return False
    return b'content-length' not in client.received.lower() and b'chunked' not in client.received.lower() and client.received != b''


def whole_in_http2(port):
    with Peer(port) as peer:
        peer.headers(request())
        got = peer.wait(lambda f: f[2] == 1 and (f[0] == RST_STREAM or f[0] in (HEADERS, DATA) and f[1] & END_STREAM) or f[0] == GOAWAY, 'the end')
        status = next((f[3][:1] for f in peer.frames if f[0] == HEADERS), b'')
        return got is not None and got[0] in (HEADERS, DATA) and status == b'\x88'


class Answers(Scenario):
    def setUp(self):
        self.origin = self.raw_origin(b'')
        direct = agent_before(self, self.origin, policy=POLICY)
        direct.address = f'127.0.0.1:{direct.port}'
        by_http2 = agent_before(self, direct, policy=POLICY + ', protocol: http2')
        self.ports = {'an endpoint of HTTP/1.1': direct.port, 'one of HTTP/2': by_http2.port}

    def test_no_cut_answer_is_whole(self):
        hidden = []
        for name, answer in http1_corpus.CUT_ANSWERS:
            self.origin.answer = answer
            for endpoint, port in self.ports.items():
                hidden += [f'{name}, {endpoint}, HTTP/1.1'] * whole_in_http1(port)
                hidden += [f'{name}, {endpoint}, HTTP/2'] * whole_in_http2(port)
        self.assertEqual(hidden, [])

    def test_a_whole_one_is(self):
        for answer in (b'Content-Length: 5\r\n\r\nabcde', b'Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n', b'Connection: close\r\n\r\nabcde'):
            self.origin.answer = http1_corpus.OK + answer
            for port in self.ports.values():
                self.assertTrue(whole_in_http1(port), answer)
                self.assertTrue(whole_in_http2(port), answer)


class Requests(Scenario):
    """From a caller of HTTP/2, by one agent and by two; those of HTTP/1.1 are in test_strictness.py."""

    def setUp(self):
        self.origin = StrictOrigin()
        self.addCleanup(self.origin.stop)
        self.direct = agent_before(self, self.origin, policy=POLICY, listener='body_timeout: 300ms')
        self.direct.address = f'127.0.0.1:{self.direct.port}'
        self.two = agent_before(self, self.direct, policy=POLICY + ', protocol: http2', listener='body_timeout: 300ms')

    def test_no_cut_request_is_whole(self):
        goodbye = frame(GOAWAY, 0, 0, u32(0) + u32(0))
        cuts = frame(RST_STREAM, 0, 1, u32(CANCEL)), frame(RST_STREAM, 0, 1, u32(0)), goodbye, b''  # and then the connection ends
        shapes = b'', frame(DATA, 0, 1, b'abcde'), frame(DATA, 0, 1, b'x' * 16384) * 3
        for agent in self.direct, self.two:
            for length in (), (('content-length', '50000'),):
                for sent in shapes:
                    begun = frame(HEADERS, END_HEADERS, 1, request('POST', '/', *length)) + sent
                    for cut in cuts:
                        with Peer(agent.port) as peer:
                            peer.send(begun, cut)
                    with Peer(agent.port) as peer:  # silence
                        peer.send(begun)
                        peer.wait(lambda f: f[0] in (RST_STREAM, HEADERS), 'the end of patience')
        for agent in self.direct, self.two:
            until(lambda: agent.metric('mesh_requests_in_flight') == 0, what='nothing is under way')  # noqa: B023
        requests, unsafe, _ = self.origin.take()
        self.assertEqual((requests, unsafe), ([], []))

    def test_a_whole_one_is(self):
        for agent in self.direct, self.two:
            with Peer(agent.port) as peer:
                peer.send(frame(HEADERS, END_HEADERS, 1, request('POST')), frame(DATA, END_STREAM, 1, b'abcde'))
                peer.wait(lambda f: f[0] == HEADERS, 'an answer')
            self.assertEqual([one[2] for one in self.origin.take()[0]], [b'abcde'])


if __name__ == '__main__':
    unittest.main()
