"""HTTP/2 to the letter: the cases of h2spec's strict list, by its numbers, as raw frames to the agent.

A case sends and then says what must come: an answer (the connection is fine), an error of the stream (RST_STREAM, or GOAWAY,
which is stricter), or of the connection (GOAWAY), each with one of the codes that the list allows.
"""
import unittest

from agents import agent_before
from harness import Scenario, until
from http2_frames import (ACK, CANCEL, COMPRESSION, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL, FRAME_SIZE, GOAWAY, HEADERS, PADDED,
                          PING, PREFACE, PRIORITY, PROTOCOL, PUSH_PROMISE, REFUSED, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, WITH_PRIORITY, Peer,
                          block, frame, integer, literal, request, setting, u32)

GET, POST = request(), request('POST')
WHOLE = END_STREAM | END_HEADERS
SCHEME, METHOD, PATH, HOST = (':scheme', 'http'), (':method', 'GET'), (':path', '/'), (':authority', 'api')
POST_LONG = request('POST', '/', ('content-length', '1'))
DUMMY = [(f'x-dummy{i}', 'v' * 2000) for i in range(4)]
CASES = []


def case(number, *, settings=b''):
    def add(function):
        CASES.append((number, settings, function))
        return function
    return add


def answer(peer, stream=1):
    got = peer.wait(lambda f: f[2] == stream and f[0] in (HEADERS, RST_STREAM) or f[0] == GOAWAY, f'the answer on {stream}')
    assert got and got[0] == HEADERS, f'no answer: {got}'


def whole(peer, stream=1):
    got = peer.wait(lambda f: f[2] == stream and (f[0] in (HEADERS, DATA) and f[1] & END_STREAM or f[0] == RST_STREAM) or f[0] == GOAWAY, 'the end')
    assert got and got[0] in (HEADERS, DATA), f'no whole answer: {got}'


def pong(peer):
    peer.send(frame(PING, 0, 0, b'12345678'))
    got = peer.wait(lambda f: f[0] == PING and f[1] & ACK and f[3] == b'12345678' or f[0] == GOAWAY, 'PONG')
    assert got and got[0] == PING, f'no PONG: {got}'


def broken(peer, *codes):
    """The connection is ended, and with one of these."""
    got = peer.wait(lambda f: f[0] == GOAWAY, 'GOAWAY')
    assert got, f'closed without GOAWAY: {peer.frames[-5:]}'
    code = int.from_bytes(got[3][4:8], 'big')
    assert code in codes, f'GOAWAY with {code}, not {codes}'
    peer.wait(lambda f: False, 'the end of the connection')


def refused(peer, *codes, stream=1):
    got = peer.wait(lambda f: f[0] == GOAWAY or f[0] == RST_STREAM and f[2] == stream, 'RST_STREAM or GOAWAY')
    assert got, f'closed without a word: {peer.frames[-5:]}'
    code = int.from_bytes(got[3][4:8] if got[0] == GOAWAY else got[3][:4], 'big')
    assert code in codes, f'{code}, not {codes}'


def sends(number, *pieces, then, settings=b''):
    """A case that sends bytes and expects one thing."""
    def run(peer):
        peer.send(*pieces)
        then(peer)
    CASES.append((number, settings, run))


def fails(*codes):
    return lambda peer: broken(peer, *codes)


def resets(*codes, stream=1):
    return lambda peer: refused(peer, *codes, stream=stream)


def headers(payload, stream=1, flags=WHOLE):
    return frame(HEADERS, flags, stream, payload)


def data(payload=b'test', stream=1, flags=END_STREAM):
    return frame(DATA, flags, stream, payload)


ONE_AND_GONE = headers(GET)          # what follows comes after its end
OPEN = headers(POST, flags=END_HEADERS)

# --- generic: what every server must take
sends('generic/1/1', headers(GET), then=answer)
sends('generic/2/1', frame(PRIORITY, 0, 1, u32(0) + b'\x0f'), headers(GET), then=answer)
sends('generic/2/2', headers(GET), frame(WINDOW_UPDATE, 0, 1, u32(1)), then=answer)
sends('generic/2/3', headers(GET), frame(PRIORITY, 0, 1, u32(0) + b'\xff'), then=answer)
sends('generic/2/4', headers(GET), frame(RST_STREAM, 0, 1, u32(CANCEL)), then=pong)


@case('generic/2/5')
def _(peer):
    peer.headers(GET)
    whole(peer)
    peer.send(frame(PRIORITY, 0, 1, u32(0) + b'\xff'))
    pong(peer)


sends('generic/3.1/1', OPEN, data(), then=answer)
sends('generic/3.1/2', OPEN, data(flags=0), data(), then=answer)
sends('generic/3.1/3', OPEN, data(b'\x06test' + bytes(6), flags=END_STREAM | PADDED), then=answer)
sends('generic/3.2/1', headers(GET), then=answer)
sends('generic/3.2/2', headers(b'\x06' + GET + bytes(6), flags=WHOLE | PADDED), then=answer)
sends('generic/3.2/3', headers(u32(0) + b'\xff' + GET, flags=WHOLE | WITH_PRIORITY), then=answer)
sends('generic/3.3/1', frame(PRIORITY, 0, 1, u32(0) + b'\x00'), headers(GET), then=answer)
sends('generic/3.3/2', frame(PRIORITY, 0, 1, u32(0) + b'\xff'), headers(GET), then=answer)
sends('generic/3.3/3', frame(PRIORITY, 0, 1, u32(0x80000000) + b'\xff'), headers(GET), then=answer)
sends('generic/3.3/4', frame(PRIORITY, 0, 3, u32(1) + b'\xff'), headers(GET), then=answer)
sends('generic/3.3/5', frame(PRIORITY, 0, 1, u32(2) + b'\xff'), headers(GET), then=answer)
sends('generic/3.4/1', OPEN, frame(RST_STREAM, 0, 1, u32(CANCEL)), then=pong)
sends('generic/3.5/1', frame(SETTINGS, 0, 0, setting(3, 100)), headers(GET), then=answer)
sends('generic/3.7/1', then=pong)
sends('generic/3.8/1', frame(GOAWAY, 0, 0, u32(0) + u32(0)), then=lambda peer: None)
sends('generic/3.9/1', frame(WINDOW_UPDATE, 0, 0, u32(1)), headers(GET), then=answer)
sends('generic/3.9/2', headers(GET), frame(WINDOW_UPDATE, 0, 1, u32(1)), then=answer)
sends('generic/3.10/1', headers(GET[:10], flags=END_STREAM), frame(CONTINUATION, END_HEADERS, 1, GET[10:]), then=answer)
sends('generic/3.10/2', headers(GET[:5], flags=END_STREAM), frame(CONTINUATION, 0, 1, GET[5:9]), frame(CONTINUATION, END_HEADERS, 1, GET[9:]), then=answer)
sends('generic/4/1', headers(GET), then=whole)
sends('generic/4/2', headers(request('HEAD')), then=whole)
sends('generic/4/3', OPEN, data(), then=whole)
sends('generic/4/4', headers(request('POST', '/', ('trailer', 'x-sum')), flags=END_HEADERS), data(flags=0), headers(block(('x-sum', '1'))), then=whole)

# HPACK: every representation, plain, by index and by Huffman's code.
REST = block(SCHEME, PATH, HOST)
HUFFMAN_HOST = b'\x00\x87' + bytes.fromhex('b83b5339ec327f') + b'\x03api'  # :authority
CUSTOM_HUFFMAN = bytes.fromhex('8825a849e95ba97d7f') + bytes.fromhex('8925a849e95bb8e8b4bf')  # custom-key: custom-value (RFC 7541 C.4.3)
sends('generic/5/1', headers(b'\x82\x86\x84' + block(HOST)), then=answer)                         # indexed
for number, first, bits in ((2, 0x40, 6), (6, 0x00, 4), (10, 0x10, 4)):  # with indexing, without, never
    named = headers(b'\x82\x86\x84' + block(HOST) + integer(58, bits, first) + b'\x04test')
    named_huffman = headers(b'\x82\x86\x84' + block(HOST) + integer(58, bits, first) + b'\x83' + bytes.fromhex('49509f'))
    new = headers(GET + literal('custom-key', 'custom-value', first))
    new_huffman = headers(GET + bytes((first,)) + CUSTOM_HUFFMAN)
    for i, piece in enumerate((named, named_huffman, new, new_huffman)):
        sends(f'generic/5/{number + i}', piece, then=answer)
sends('generic/5/14', headers(b'\x20' + GET), then=answer)                                         # the table is emptied
sends('generic/5/15', headers(b'\x20' + integer(4096, 5, 0x20) + GET), then=answer)               # twice in one block
# Not in the list: what was indexed is used.
sends('own/1', headers(GET + literal('x-kept', 'here', 0x40)), headers(GET + b'\xbe', stream=3), then=lambda peer: answer(peer, 3))
sends('own/2', headers(literal(':method', 'GET', 0x40) + REST), headers(b'\xbe' + REST, stream=3), then=lambda peer: answer(peer, 3))

# --- http2
sends('http2/3.5/1', headers(GET), then=answer)
sends('http2/4.1/1', frame(0xfa, 0, 0, b'unknown!'), then=pong)
sends('http2/4.1/2', frame(PING, 0x16, 0, b'flagged!'), then=pong)
sends('http2/4.1/3', frame(PING, 0, 0x80000000, b'reserved'), then=pong)
sends('http2/4.2/1', OPEN, data(b'x' * 16384), then=answer)
sends('http2/4.2/2', OPEN, data(b'x' * 16385), then=resets(FRAME_SIZE))
sends('http2/4.2/3', headers(GET + block(*[(f'x-{i}', 'v' * 4000) for i in range(5)])), then=fails(FRAME_SIZE))
sends('http2/4.3/1', headers(b'\x40\x0a\xff'), then=fails(COMPRESSION))
sends('http2/4.3/2', headers(GET, flags=END_STREAM), frame(PRIORITY, 0, 1, u32(0) + b'\xff'), then=fails(PROTOCOL))
sends('http2/4.3/3', headers(GET, flags=END_STREAM), headers(GET, stream=3), then=fails(PROTOCOL))
sends('http2/5.1/1', data(), then=fails(PROTOCOL))
sends('http2/5.1/2', frame(RST_STREAM, 0, 1, u32(CANCEL)), then=fails(PROTOCOL))
sends('http2/5.1/3', frame(WINDOW_UPDATE, 0, 1, u32(100)), then=fails(PROTOCOL))
sends('http2/5.1/4', frame(CONTINUATION, END_HEADERS, 1, GET), then=fails(PROTOCOL))
sends('http2/5.1/5', headers(GET), data(), then=resets(STREAM_CLOSED))
sends('http2/5.1/6', headers(GET), headers(GET), then=resets(STREAM_CLOSED))
sends('http2/5.1/7', headers(GET), frame(CONTINUATION, END_HEADERS, 1, GET), then=fails(STREAM_CLOSED, PROTOCOL))
sends('http2/5.1/8', OPEN, frame(RST_STREAM, 0, 1, u32(CANCEL)), data(), then=resets(STREAM_CLOSED))
sends('http2/5.1/9', OPEN, frame(RST_STREAM, 0, 1, u32(CANCEL)), headers(GET), then=resets(STREAM_CLOSED))
sends('http2/5.1/10', OPEN, frame(RST_STREAM, 0, 1, u32(CANCEL)), frame(CONTINUATION, END_HEADERS, 1, GET), then=fails(STREAM_CLOSED, PROTOCOL))


def after_the_end(number, piece, *codes):
    @case(number)
    def _(peer):
        peer.headers(GET)
        whole(peer)
        peer.send(piece)
        broken(peer, *codes)


after_the_end('http2/5.1/11', data(), STREAM_CLOSED)
after_the_end('http2/5.1/12', headers(GET), STREAM_CLOSED)
after_the_end('http2/5.1/13', frame(CONTINUATION, END_HEADERS, 1, GET), STREAM_CLOSED, PROTOCOL)
sends('http2/5.1.1/1', headers(GET, stream=2), then=fails(PROTOCOL))
sends('http2/5.1.1/2', headers(GET, stream=5), headers(GET, stream=3), then=fails(PROTOCOL))


@case('http2/5.1.2/1')
def _(peer):
    peer.send(*(headers(POST, stream=1 + 2 * i, flags=END_HEADERS) for i in range(101)))
    got = peer.wait(lambda f: f[0] in (RST_STREAM, GOAWAY), 'a refusal')
    code = int.from_bytes(got[3][4:8] if got[0] == GOAWAY else got[3][:4], 'big')
    assert code in (PROTOCOL, REFUSED), code


sends('http2/5.3.1/1', headers(u32(1) + b'\xff' + GET, flags=WHOLE | WITH_PRIORITY), then=resets(PROTOCOL))
sends('http2/5.3.1/2', frame(PRIORITY, 0, 1, u32(1) + b'\xff'), then=resets(PROTOCOL))
sends('http2/5.4.1/1', frame(PING, 0, 1, b'12345678'), then=fails(PROTOCOL))


@case('http2/5.4.1/2')
def _(peer):
    peer.headers(GET)
    whole(peer)
    peer.send(frame(PING, 0, 3, b'12345678'))
    got = peer.wait(lambda f: f[0] == GOAWAY, 'GOAWAY')
    assert int.from_bytes(got[3][:4], 'big') == 1, 'the last stream that was worked on'


sends('http2/5.5/1', frame(0xfa, 0, 0, b'x' * 8), headers(GET), then=answer)
sends('http2/5.5/2', headers(GET[:4], flags=END_STREAM), frame(0xfa, 0, 1, b'x'), then=fails(PROTOCOL))
sends('http2/6.1/1', OPEN, data(stream=0), then=fails(PROTOCOL))
sends('http2/6.1/2', headers(GET), data(), then=resets(STREAM_CLOSED))
sends('http2/6.1/3', OPEN, data(b'\x06test', flags=END_STREAM | PADDED), then=fails(PROTOCOL))
sends('http2/6.2/1', headers(GET, flags=END_STREAM), frame(PRIORITY, 0, 1, u32(0) + b'\xff'), then=fails(PROTOCOL))
sends('http2/6.2/2', headers(GET, flags=END_STREAM), headers(GET, stream=3), then=fails(PROTOCOL))
sends('http2/6.2/3', headers(GET, stream=0), then=fails(PROTOCOL))
sends('http2/6.2/4', headers(bytes((len(GET) + 1,)) + GET, flags=WHOLE | PADDED), then=fails(PROTOCOL))
sends('http2/6.3/1', frame(PRIORITY, 0, 0, u32(0) + b'\xff'), then=fails(PROTOCOL))
sends('http2/6.3/2', headers(GET), frame(PRIORITY, 0, 1, u32(0)), then=resets(FRAME_SIZE))
sends('http2/6.4/1', frame(RST_STREAM, 0, 0, u32(CANCEL)), then=fails(PROTOCOL))
sends('http2/6.4/2', frame(RST_STREAM, 0, 1, u32(CANCEL)), then=fails(PROTOCOL))
sends('http2/6.4/3', OPEN, frame(RST_STREAM, 0, 1, b'\0\0\0'), then=fails(FRAME_SIZE))
sends('http2/6.5/1', frame(SETTINGS, ACK, 0, b'\0'), then=fails(FRAME_SIZE))
sends('http2/6.5/2', frame(SETTINGS, 0, 1, setting(3, 100)), then=fails(PROTOCOL))
sends('http2/6.5/3', frame(SETTINGS, 0, 0, b'\0\3\0'), then=fails(FRAME_SIZE))
sends('http2/6.5.2/1', frame(SETTINGS, 0, 0, setting(2, 2)), then=fails(PROTOCOL))
sends('http2/6.5.2/2', frame(SETTINGS, 0, 0, setting(4, 0x80000000)), then=fails(FLOW_CONTROL))
sends('http2/6.5.2/3', frame(SETTINGS, 0, 0, setting(5, 16383)), then=fails(PROTOCOL))
sends('http2/6.5.2/4', frame(SETTINGS, 0, 0, setting(5, 1 << 24)), then=fails(PROTOCOL))
sends('http2/6.5.2/5', frame(SETTINGS, 0, 0, setting(0xff, 1)), then=pong)


def one_byte(peer):
    got = peer.wait(lambda f: f[0] == DATA and f[2] == 1, 'DATA')
    assert len(got[3]) == 1, f'{len(got[3])} bytes in a window of 1'


sends('http2/6.5.3/1', frame(SETTINGS, 0, 0, setting(4, 100) + setting(4, 1)), headers(GET), then=one_byte)


@case('http2/6.5.3/2')
def _(peer):
    before = sum(f[0] == SETTINGS and f[1] & ACK for f in peer.frames)
    peer.send(frame(SETTINGS, 0, 0, setting(3, 100)))
    until_more = lambda f: sum(g[0] == SETTINGS and g[1] & ACK for g in peer.frames) > before  # noqa: E731
    assert peer.wait(until_more, 'its acknowledgement')


sends('http2/6.7/1', then=pong)


@case('http2/6.7/2')
def _(peer):
    peer.send(frame(PING, ACK, 0, b'unwanted'))
    pong(peer)
    assert not [f for f in peer.frames if f[0] == PING and f[3] == b'unwanted'], 'an acknowledgement is not acknowledged'


sends('http2/6.7/3', frame(PING, 0, 1, b'12345678'), then=fails(PROTOCOL))
sends('http2/6.7/4', frame(PING, 0, 0, b'123456'), then=fails(FRAME_SIZE))
sends('http2/6.8/1', frame(GOAWAY, 0, 1, u32(0) + u32(0)), then=fails(PROTOCOL))
sends('http2/6.9/1', frame(WINDOW_UPDATE, 0, 0, u32(0)), then=fails(PROTOCOL))
sends('http2/6.9/2', OPEN, frame(WINDOW_UPDATE, 0, 1, u32(0)), then=resets(PROTOCOL))
sends('http2/6.9/3', frame(WINDOW_UPDATE, 0, 0, b'\0\0\1'), then=fails(FRAME_SIZE))
sends('http2/6.9.1/1', frame(SETTINGS, 0, 0, setting(4, 1)), headers(GET), then=one_byte)
sends('http2/6.9.1/2', frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)) * 2, then=fails(FLOW_CONTROL))
sends('http2/6.9.1/3', OPEN, frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff)) * 2, then=resets(FLOW_CONTROL))


@case('http2/6.9.2/1', settings=setting(4, 0))
def _(peer):
    peer.headers(GET)
    peer.send(frame(SETTINGS, 0, 0, setting(4, 1)))
    one_byte(peer)


@case('http2/6.9.2/2', settings=setting(4, 3))
def _(peer):
    peer.headers(GET)
    got = peer.wait(lambda f: f[0] == DATA, 'DATA')
    assert len(got[3]) == 3
    peer.send(frame(SETTINGS, 0, 0, setting(4, 2)))       # now one below zero,
    pong(peer)
    peer.send(frame(WINDOW_UPDATE, 0, 1, u32(2)))         # and one above
    got = peer.wait(lambda f: f[0] == DATA and f is not got, 'DATA')
    assert len(got[3]) == 1


sends('http2/6.9.2/3', frame(SETTINGS, 0, 0, setting(4, 0x80000000)), then=fails(FLOW_CONTROL))
MANY = GET + block(*DUMMY)
sends('http2/6.10/1', headers(GET, flags=END_STREAM), frame(CONTINUATION, 0, 1, block(DUMMY[0])), frame(CONTINUATION, END_HEADERS, 1, block(DUMMY[1])),
      then=answer)
sends('http2/6.10/2', headers(GET, flags=END_STREAM), frame(CONTINUATION, 0, 1, block(DUMMY[0])), data(), then=fails(PROTOCOL))
sends('http2/6.10/3', headers(GET, flags=END_STREAM), frame(CONTINUATION, END_HEADERS, 0, block(DUMMY[0])), then=fails(PROTOCOL))
sends('http2/6.10/4', headers(GET), frame(CONTINUATION, END_HEADERS, 1, block(DUMMY[0])), then=fails(PROTOCOL, STREAM_CLOSED))
sends('http2/6.10/5', headers(GET, flags=END_STREAM), frame(CONTINUATION, END_HEADERS, 1, block(DUMMY[0])),
      frame(CONTINUATION, END_HEADERS, 1, block(DUMMY[1])), then=fails(PROTOCOL, STREAM_CLOSED))
sends('http2/6.10/6', OPEN, data(flags=0), frame(CONTINUATION, END_HEADERS, 1, block(DUMMY[0])), then=fails(PROTOCOL))
sends('http2/7/1', frame(GOAWAY, 0, 0, u32(0) + u32(0xff)), then=lambda peer: None)
sends('http2/7/2', OPEN, frame(RST_STREAM, 0, 1, u32(0xff)), then=pong)
sends('http2/8.1/1', OPEN, data(flags=0), headers(block(('x-sum', '1')), flags=END_HEADERS), then=resets(PROTOCOL))
malformed = {
    '8.1.2/1': GET + block(('X-TEST', 'ok')),
    '8.1.2.1/1': block(METHOD, SCHEME, PATH, HOST, (':test', 'ok')),
    '8.1.2.1/2': block(METHOD, SCHEME, PATH, HOST, (':status', '200')),
    '8.1.2.1/4': block(METHOD, SCHEME, ('x-test', 'ok'), PATH, HOST),
    '8.1.2.2/1': GET + block(('connection', 'keep-alive')),
    '8.1.2.2/2': GET + block(('te', 'trailers, deflate')),
    '8.1.2.3/1': block(METHOD, SCHEME, (':path', ''), HOST),
    '8.1.2.3/2': block(SCHEME, PATH, HOST),
    '8.1.2.3/3': block(METHOD, PATH, HOST),
    '8.1.2.3/4': block(METHOD, SCHEME, HOST),
    '8.1.2.3/5': block(METHOD, METHOD, SCHEME, PATH, HOST),
    '8.1.2.3/6': block(METHOD, SCHEME, SCHEME, PATH, HOST),
    '8.1.2.3/7': block(METHOD, SCHEME, PATH, PATH, HOST),
}
for number, payload in malformed.items():
    sends(f'http2/{number}', headers(payload), then=resets(PROTOCOL))
sends('http2/8.1.2.1/3', OPEN, data(flags=0), headers(block((':method', 'GET'))), then=resets(PROTOCOL))
sends('http2/8.1.2.6/1', headers(POST_LONG, flags=END_HEADERS), data(), then=resets(PROTOCOL))
sends('http2/8.1.2.6/2', headers(POST_LONG, flags=END_HEADERS), data(b't', flags=0), data(b'est'), then=resets(PROTOCOL))
sends('http2/8.2/1', frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + GET), then=fails(PROTOCOL))

# --- hpack
sends('hpack/2.3.3/1', headers(GET + integer(70, 7, 0x80)), then=fails(COMPRESSION))
sends('hpack/2.3.3/2', headers(GET + integer(70, 6, 0x40) + b'\x01x'), then=fails(COMPRESSION))
sends('hpack/4.2/1', headers(GET + integer(1, 5, 0x20)), then=fails(COMPRESSION))
sends('hpack/5.2/1', headers(GET + b'\x00\x85' + bytes.fromhex('f2b24a84ff') + b'\x84' + bytes.fromhex('49509fff')), then=fails(COMPRESSION))
sends('hpack/5.2/2', headers(GET + b'\x00\x85' + bytes.fromhex('f2b24a8400') + b'\x83' + bytes.fromhex('49509f')), then=fails(COMPRESSION))
sends('hpack/5.2/3', headers(GET + b'\x00\x88' + bytes.fromhex('f2b24a84fffffffc') + b'\x83' + bytes.fromhex('49509f')), then=fails(COMPRESSION))
sends('hpack/6.1/1', headers(GET + b'\x80'), then=fails(COMPRESSION))
sends('hpack/6.3/1', headers(integer(4097, 5, 0x20) + GET), then=fails(COMPRESSION))


class Conformance(Scenario):
    def test_every_case(self):
        agent = agent_before(self, self.origin('api', body=b'0123456789'))
        failed = []
        for number, settings, run in CASES:
            with Peer(agent.port, settings=settings) as peer:
                try:
                    run(peer)
                except AssertionError as why:
                    failed.append(f'{number}: {why}')
        self.assertEqual(failed, [])
        self.assertEqual(len({number for number, _, _ in CASES}), len(CASES))
        with Peer(agent.port) as peer:  # and it serves on
            answer(peer.headers(GET))
        until(lambda: agent.metric('mesh_listener_connections_open', listener='web') == 0, what='all connections are over')

    def test_an_invalid_preface_ends_the_connection(self):  # http2/3.5/2
        agent = agent_before(self, self.origin('api'))
        with Peer(agent.port, greet=False) as peer:
            peer.send(b'INVALID CONNECTION PREFACE\r\n\r\n')
            peer.wait(lambda f: False, 'the end')
        with Peer(agent.port, greet=False) as peer:
            peer.send(PREFACE[:-8] + b'XX\r\n\r\n' + frame(SETTINGS))
            peer.wait(lambda f: False, 'the end')

    def test_an_answer_before_the_end_of_the_request_is_whole_and_then_told_to_stop(self):  # RFC 9113 8.1
        agent = agent_before(self, self.origin('api'))
        with Peer(agent.port) as peer:
            peer.send(headers(request('POST', '/a/../b'), flags=END_HEADERS), data(b'x' * 1000, flags=0))
            whole(peer)
            reset = peer.wait(lambda f: f[0] == RST_STREAM and f[2] == 1, 'RST_STREAM')
            self.assertEqual(reset[3], u32(0), 'NO_ERROR')
            pong(peer)


if __name__ == '__main__':
    unittest.main()
