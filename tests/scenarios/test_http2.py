"""HTTP/2 from callers and to endpoints: curl, nghttp, h2load; nghttpx as an endpoint; the abuse of a connection."""
import pathlib
import re
import signal
import socket
import threading
import time

from agents import agent_before
from harness import Scenario, free_port, get, peer, run, until

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
GET = b'\x82\x86\x84\x41\x03api'


def frame(kind, flags=0, stream=0, body=b''):
    return len(body).to_bytes(3, 'big') + bytes([kind, flags]) + stream.to_bytes(4, 'big') + body


class Http2(Scenario):
    def agent(self, *origins, **knobs):
        return agent_before(self, *(origins or [self.origin('api')]), **knobs)

    def test_curl_and_nghttp_with_prior_knowledge(self):
        agent = self.agent()
        curl = [peer('curl'), '-sS', '--max-time', '10', '--http2-prior-knowledge']
        done = run(*curl, '-o', '/dev/null', '-w', '%{http_code} %{http_version}', agent.url + '/')
        self.assertEqual(done.stdout, '200 2', done.stderr)
        body = self.write('body', 'z' * 2_000_000)
        done = run(*curl, '-X', 'POST', '--data-binary', f'@{body}', agent.url + '/echo')
        self.assertGreater(len(done.stdout), 2_000_000, done.stderr)
        self.assertIn('z' * 2_000_000, done.stdout)
        done = run(peer('nghttp'), '-v', agent.url + '/')
        self.assertIn(':status: 200', done.stdout, done.stderr)
        self.assertIn('SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100', done.stdout)
        # The upgrade of old (RFC 7540 3.2) is not taken up: the answer is one of HTTP/1.1.
        done = run(peer('curl'), '-sS', '--http2', '-o', '/dev/null', '-w', '%{http_code} %{http_version}', agent.url + '/')
        self.assertEqual(done.stdout, '200 1.1', done.stderr)

    def test_h2load_finds_every_answer_on_both_protocols_behind(self):
        origin = self.origin('api')
        front = free_port()
        self.start(peer('nghttpx'), '--no-ocsp', '--workers=1', f'--frontend=127.0.0.1,{front};no-tls',
                   f'--backend=127.0.0.1,{origin.port}', '--conf=/dev/null')
        until(lambda: self.is_open(front), what='nghttpx')

        class Behind:
            address = f'127.0.0.1:{front}'

        for policy, endpoint in (('protocol: http1', origin), ('protocol: http2', Behind)):
            agent = self.agent(endpoint, policy=policy)
            done = run(peer('h2load'), '-n3000', '-c4', '-m20', agent.url + '/', deadline=60)
            self.assertIn('3000 succeeded, 0 failed, 0 errored', done.stdout, done.stdout + done.stderr)
            self.assertEqual(agent.metric('mesh_requests_total', service='api', code_class='2xx'), 3000)
            if endpoint is Behind:
                self.assertLessEqual(agent.metric('mesh_upstream_connections_total'), 2)
            agent.process.stop()

    @staticmethod
    def is_open(port):
        with socket.socket() as probe:
            return probe.connect_ex(('127.0.0.1', port)) == 0

    def test_abusers_are_cut_off_and_others_do_not_notice(self):
        agent = self.agent()
        floods = {
            'resets': lambda i: frame(1, 5, 2 * i + 1, GET) + frame(3, 0, 2 * i + 1, b'\0\0\0\x08'),
            'pings': lambda i: frame(6, 0, 0, b'12345678'),
            'settings': lambda i: frame(4),
            'windows': lambda i: frame(8, 0, 0, b'\0\0\0\x01'),
            'priorities': lambda i: frame(2, 0, 1, b'\0\0\0\x03\x10'),
            'unknown': lambda i: frame(0x42, 0, 0, b'x'),
            'continuations': lambda i: frame(9, 0, 1) if i else frame(1, 0, 1, GET),
        }
        before = self.own_kib(agent)
        for name, make in floods.items():
            self.assertTrue(self.flood(agent.port, make), f'{name}: not closed')
            self.assertEqual(get(agent.url + '/').status, 200, name)
        self.assertLessEqual(self.own_kib(agent) - before, 2048, 'KiB after all of them')
        self.assertGreaterEqual(agent.metric('mesh_bad_requests_total', reason='h2_reset_flood'), 1)
        self.assertGreaterEqual(agent.metric('mesh_bad_requests_total', reason='h2_frame_flood'), 3)

    def own_kib(self, agent):
        """Its heap and stacks: pages of the program itself come and go, and cost nobody anything."""
        text = pathlib.Path(f'/proc/{agent.process.pid}/status').read_text()
        return int(re.search(r'RssAnon:\s+(\d+)', text)[1])

    @staticmethod
    def flood(port, make):
        """Whether the connection is closed. How many frames that takes is for test_http2_abuse.py: here they may wait in buffers."""
        with socket.create_connection(('127.0.0.1', port), timeout=10) as sock:
            closed = threading.Event()

            def read():
                try:
                    while sock.recv(65536):
                        pass
                except OSError:
                    pass
                closed.set()

            threading.Thread(target=read, daemon=True).start()
            sent = 0
            try:
                sock.sendall(PREFACE + frame(4))
                while sent < 20_000 and not closed.is_set():
                    sock.sendall(b''.join(make(i) for i in range(sent, sent + 50)))
                    sent += 50
                    time.sleep(0)
            except OSError:
                pass
            return closed.wait(10)

    def test_sigterm_loses_nothing_that_is_in_flight(self):
        agent = self.agent(self.origin('api', delay=0.5))
        load = self.start(peer('h2load'), '-n40', '-c4', '-m10', agent.url + '/')
        until(lambda: agent.metric('mesh_requests_in_flight') == 40, what='all are on their way')
        agent.process.send_signal(signal.SIGTERM)
        until(lambda: 'succeeded' in load.log(), what='h2load is done')
        self.assertIn('40 succeeded, 0 failed', load.log())


if __name__ == '__main__':
    import unittest
    unittest.main()
