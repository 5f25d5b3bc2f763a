#!/usr/bin/env python3
"""The harness against itself: what it promises to scenarios, without any program of ours."""
import contextlib
import http.client
import io
import os
import signal
import socket
import sys
import time
import unittest

from harness import EPHEMERAL_FIRST, Load, RawClient, Scenario, free_port, get, put, request, until, wait_http

SERVE = 'import http.server, sys; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")'
STUBBORN = ('import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork();'
            'os.write(1, b"deaf %d\\n" % os.getpid()); time.sleep(600)')


def is_alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


class Until(unittest.TestCase):
    def test_gives_the_first_true_value(self):
        values = iter([0, None, 7, 8])
        self.assertEqual(until(lambda: next(values)), 7)

    def test_fails_at_the_deadline_and_says_what_it_waited_for(self):
        with self.assertRaisesRegex(AssertionError, 'the moon: not true within 0.05 s'):
            until(lambda: False, 0.05, 'the moon')


class Ports(unittest.TestCase):
    def test_are_below_the_ephemeral_range_and_never_given_twice(self):
        ports = [free_port() for _ in range(50)]
        self.assertEqual(len(set(ports)), 50)
        self.assertLess(max(ports), EPHEMERAL_FIRST)

    def test_can_be_listened_on(self):
        with socket.create_server(('127.0.0.1', free_port())):
            pass


class Processes(Scenario):
    def test_are_ready_when_http_answers_and_gone_after_stop(self):
        port = free_port()
        process = self.start(sys.executable, '-c', SERVE, port)
        self.assertEqual(wait_http(f'http://127.0.0.1:{port}/', process=process).status, 200)
        process.stop()
        with self.assertRaises(ConnectionRefusedError):
            get(f'http://127.0.0.1:{port}/')

    def test_that_die_early_fail_the_wait_with_their_log(self):
        process = self.start(sys.executable, '-c', 'print("no such flag"); raise SystemExit(3)')
        with self.assertRaisesRegex(AssertionError, '(?s)ended.*exit code 3.*no such flag'):
            wait_http(f'http://127.0.0.1:{free_port()}/', process=process)
        self.assertEqual(process.wait(), 3)

    def test_see_the_environment_and_their_output_is_kept(self):
        process = self.start(sys.executable, '-c', 'import os; print("got", os.environ["KNOB"])', env={'KNOB': 'x1'})
        process.wait_log('got x1')
        self.assertEqual(process.wait(), 0)

    def test_a_whole_group_deaf_to_sigterm_is_killed(self):
        process = self.start(sys.executable, '-c', STUBBORN)
        until(lambda: process.log().count('\n') == 2)
        pids = [int(line.split()[1]) for line in process.log().splitlines()]
        self.assertEqual(process.kill(), -signal.SIGKILL)
        until(lambda: not any(map(is_alive, pids)))

    def test_end_with_the_test_and_a_failure_shows_their_logs(self):
        class Failing(Scenario):
            def test(self):
                Failing.process = self.start(sys.executable, '-c', 'import time; print("last words", flush=True); time.sleep(600)')
                self.process.wait_log('last words')
                self.fail('on purpose')

        said, result = io.StringIO(), unittest.TestResult()
        with contextlib.redirect_stderr(said):
            Failing('test').run(result)
        self.assertEqual(len(result.failures), 1)
        self.assertIn('last words', said.getvalue())
        self.assertFalse(is_alive(Failing.process.pid))

    def test_do_not_outlive_a_killed_test(self):
        code = ('import harness, sys, time; p = harness.Process("sleep", "600", log=sys.argv[1]);'
                'print("child", p.pid, flush=True); time.sleep(600)')
        parent = self.start(sys.executable, '-c', code, self.dir / 'inner.log',
                            env={'PYTHONPATH': os.path.dirname(os.path.abspath(__file__))})
        parent.wait_log('child')
        child = int(parent.log().split()[1])
        self.assertTrue(is_alive(child))
        os.kill(parent.pid, signal.SIGKILL)
        until(lambda: not is_alive(child), what='the end of the orphan')


class Origins(Scenario):
    def test_answer_with_their_name_and_count(self):
        a = self.origin('a')
        self.assertEqual(get(a.url + '/x').text, 'a')
        self.assertEqual(get(a.url + '/health').status, 200)
        self.assertEqual((a.requests, a.checks, a.seen[0][:2]), (1, 1, ('GET', '/x')))

    def test_turn_their_knobs_while_serving(self):
        a = self.origin('a')
        a.status, a.health_status = 503, 500
        self.assertEqual((get(a.url).status, get(a.url + '/health').status), (503, 500))
        a.status, a.delay = 200, 0.1
        began = time.monotonic()
        self.assertEqual(get(a.url).status, 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.1)

    def test_echo_what_arrived_chunked_or_not(self):
        a = self.origin('a')
        self.assertEqual(put(a.url + '/echo', b'abc').json()['body'], 'abc')
        chunked = request('POST', a.url + '/echo?q=1', iter([b'ab', b'', b'c']), headers={'X-One': '1'}).json()
        self.assertEqual((chunked['body'], chunked['path']), ('abc', '/echo?q=1'))
        self.assertIn(['X-One', '1'], chunked['headers'])

    def test_close_in_the_middle_of_a_body(self):
        a = self.origin('a', close_mid_body=True)
        with self.assertRaises(http.client.IncompleteRead):
            get(a.url)

    def test_a_stop_cuts_connections_and_a_start_takes_the_same_port(self):
        a = self.origin('a', delay=60)
        with RawClient(a.port) as client:
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
            until(lambda: a.requests == 1)
            a.stop()
            self.assertEqual(client.read_all(), b'')
        self.assertRaises(ConnectionRefusedError, get, a.url)
        a.delay = 0
        a.start()
        self.assertEqual(get(a.url).text, 'a')


class Raw(Scenario):
    def test_sends_what_no_library_would_and_reads_to_the_end(self):
        with RawClient(self.origin('a').port) as client:
            answer = client.send(b'G@T / HTTP/1.1 x\r\n\r\n').end().read_all()
        self.assertIn(b' 400 ', answer.split(b'\r\n')[0])

    def test_reads_one_answer_after_the_other(self):
        with RawClient(self.origin('a').port) as client:
            client.send(b'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
            for _ in range(2):
                self.assertTrue(client.read_until(b'\r\n\r\na').startswith(b'HTTP/1.1 200'))

    def test_fails_when_the_peer_neither_answers_nor_closes(self):
        with RawClient(self.origin('a').port) as client:
            with self.assertRaisesRegex(AssertionError, 'still open'):
                client.send(b'GET / HTTP/1.1\r\n').read_all(deadline=0.05)


class Loads(Scenario):
    def test_counts_successes_failures_and_who_answered(self):
        a = self.origin('a')
        with Load(a.url) as load:
            load.wait(50)
            self.assertFalse(load.failures)
            a.status = 500
            until(lambda: load.failures['500'])
        self.assertEqual(load.requests, load.successes + load.failures['500'])
        self.assertEqual(load.origins['a'], load.requests)
        self.assertGreater(load.quantile(0.99), 0)

    def test_survives_an_origin_that_dies_and_comes_back(self):
        a = self.origin('a')
        with Load(a.url, threads=2) as load:
            load.wait(10)
            a.stop()
            until(lambda: load.failures['ConnectionRefusedError'])
            a.start()
            good = load.successes
            until(lambda: load.successes > good + 10)

    def test_a_closed_keep_alive_connection_is_no_failure(self):
        a = self.origin('a')
        a.headers['Connection'] = 'close'
        with Load(a.url, threads=1) as load:
            load.wait(10)
        self.assertFalse(load.failures)


if __name__ == '__main__':
    unittest.main()
