"""Connections of HTTP/2 that make work without getting anything done: each is closed soon, costs little memory, and others do not
notice. The figures are printed; what must hold of them is asserted, and none of that is a time."""
import pathlib
import statistics
import threading
import time
import unittest

from agents import agent_before
from harness import Scenario, get, until
from http2_frames import (CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, ACK,
                          Peer, frame, integer, literal, request, setting, u32)

BATCH = 100
GROWTH_MAX = 2 << 20  # bytes, for one attacker
GET, POST = request(), request('POST')
WHOLE = END_STREAM | END_HEADERS


def stream(i):
    return 1 + 2 * i


def first(peer):
    """What some attacks begin with: a stream that stays open."""
    peer.headers(POST, 1, END_HEADERS)


# name -> (what comes first, the i-th attack's frames, how many of them may be sent before the end)
FLOODS = {
    'rapid reset': (None, lambda i: frame(HEADERS, WHOLE, stream(i), GET) + frame(RST_STREAM, 0, stream(i), u32(CANCEL)), 1000),
    'made you reset': (None, lambda i: frame(HEADERS, END_HEADERS, stream(i), POST) + frame(WINDOW_UPDATE, 0, stream(i), u32(0)), 1000),
    'settings': (None, lambda i: frame(SETTINGS, 0, 0, setting(4, 65535 - i % 2)), 10_000),
    'ping': (None, lambda i: frame(PING, 0, 0, i.to_bytes(8, 'big')), 10_000),
    'priority': (None, lambda i: frame(PRIORITY, 0, 1 + 2 * (i % 5000), u32(0) + b'\x10'), 10_000),
    'window updates': (first, lambda i: frame(WINDOW_UPDATE, 0, 1, u32(1)), 10_000),
    'empty data': (first, lambda i: frame(DATA, 0, 1), 10_000),
    'padding': (first, lambda i: frame(DATA, 8, 1, b'\x01\x00'), 10_000),
    'unknown frames': (None, lambda i: frame(0xee, 0, 0, b'x'), 10_000),
    'continuation': (lambda peer: peer.send(frame(HEADERS, END_STREAM, 1, GET)), lambda i: frame(CONTINUATION, 0, 1, b''), 10_000),
    'long head': (lambda peer: peer.send(frame(HEADERS, END_STREAM, 1, GET)),
                  lambda i: frame(CONTINUATION, 0, 1, literal(f'x-{i}', 'v' * 16000)), 10_000),
    'hpack bomb': (lambda peer: peer.headers(GET + literal('x-large', 'v' * 4000, 0x40), 1),
                   lambda i: frame(HEADERS, WHOLE, stream(i + 1), GET + integer(62, 7, 0x80) * 16000), 10_000),
}


class Watched:
    """A process whose memory's high-water mark can be set back."""

    def __init__(self, pid):
        self._at = pathlib.Path(f'/proc/{pid}')

    def _kib(self, name):
        return next(int(line.split()[1]) for line in (self._at / 'status').read_text().splitlines() if line.startswith(name + ':'))

    def begin(self):
        (self._at / 'clear_refs').write_text('5')
        self._before = self._kib('VmRSS')

    def grown(self):
        return (self._kib('VmHWM') - self._before) << 10


class Others(threading.Thread):
    """One caller at a time, who should not notice."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.took, self.failed, self.stopping = url, [], [], threading.Event()

    def run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                status = get(self.url).status
            except OSError as why:
                status = why
            self.took.append(time.monotonic() - began)
            if status != 200:
                self.failed.append(status)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()

    def p99_ms(self):
        return statistics.quantiles(self.took, n=100)[98] * 1000 if len(self.took) > 1 else 0


class Abuse(Scenario):
    def setUp(self):
        self.agent = agent_before(self, self.origin('api', body=b'x' * 2000))
        self.memory = Watched(self.agent.process.pid)
        for _ in range(3):  # what every connection and every protocol needs once
            with Peer(self.agent.port) as peer:
                peer.headers(GET)
                peer.wait(lambda f: f[2] == 1 and f[0] in (HEADERS, DATA) and f[1] & END_STREAM, 'an answer')
            get(self.agent.url + '/')

    def flood(self, begin, attack, most):
        """How many were sent when the connection was ended."""
        with Peer(self.agent.port) as peer:
            if begin:
                begin(peer)
            in_block = begin is not None and attack(0)[3] == CONTINUATION  # nothing may come between
            for sent in range(BATCH, 2 * most + BATCH, BATCH):
                peer.send(*(attack(i) for i in range(sent - BATCH, sent)))
                if in_block:
                    ended = peer.wait(lambda f: f[0] == GOAWAY, 'GOAWAY')
                else:
                    peer.send(frame(PING, 0, 0, b'sync' + sent.to_bytes(4, 'big')))
                    mine = b'sync' + sent.to_bytes(4, 'big')
                    ended = peer.wait(lambda f: f[0] == GOAWAY or f[0] == PING and f[1] & ACK and f[3] == mine, 'a word')  # noqa: B023
                if ended is None or ended[0] == GOAWAY:
                    return sent
        return None

    def test_each_is_closed_soon_costs_little_and_disturbs_nobody(self):
        with Others(self.agent.url + '/') as base:
            until(lambda: len(base.took) >= 100, what='a hundred requests to compare with')
        print(f'\n{"":16} {"closed after":>12} {"memory KiB":>10} {"p99 of others ms":>16}   (base {base.p99_ms():.1f})')
        for name, (begin, attack, most) in FLOODS.items():
            with self.subTest(name), Others(self.agent.url + '/') as others:
                self.memory.begin()
                sent = self.flood(begin, attack, most)
                grown = self.memory.grown()
                others.stopping.set()
                others.join()
                print(f'{name:16} {sent or "never":>12} {grown >> 10:>10} {others.p99_ms():>16.1f}')
                self.assertIsNotNone(sent, 'it is never ended')
                self.assertLessEqual(sent, most)
                self.assertLessEqual(grown, GROWTH_MAX)
                self.assertEqual(others.failed, [])

    def test_who_asks_for_much_and_takes_nothing_costs_little(self):
        large = self.origin('large', body=b'y' * 1_000_000)
        agent = agent_before(self, large, listener='body_timeout: 1s')
        memory = Watched(agent.process.pid)
        get(agent.url + '/')
        with Peer(agent.port, settings=setting(4, 0)) as peer:
            memory.begin()
            peer.send(*(frame(HEADERS, WHOLE, stream(i), GET) for i in range(100)))
            for i in range(100):
                peer.wait(lambda f: f[2] == stream(i) and f[0] in (HEADERS, RST_STREAM) or f[0] == GOAWAY, 'an answer')  # noqa: B023
            grown = memory.grown()
            print(f'\n100 streams that take nothing: {grown >> 10} KiB')
            self.assertLessEqual(grown, 100 * (64 << 10), 'a window and a block for each')
            peer.wait(lambda f: f[0] == RST_STREAM, 'given up')


if __name__ == '__main__':
    unittest.main()
