"""What callers see when origins die, dawdle, refuse or break off."""
import http.client
import unittest

from agents import agent_before
from harness import Load, RawClient, Scenario, free_port, get, request, until


class Dying(Scenario):
    def test_a_killed_origin_costs_no_caller_a_failure(self):
        a, b, c = self.origin('a'), self.origin('b'), self.origin('c')
        # In turn: the default algorithm goes elsewhere after a failure or two, too few for a breaker.
        agent = agent_before(self, a, b, c, policy='balance: {algorithm: round_robin}')
        with Load(agent.url + '/') as load:
            load.wait(200)
            a.stop()
            load.wait(600)
            self.assertEqual(agent.endpoints()[a.address]['breaker'], 'open')
        self.assertEqual(load.failures, {})
        self.assertGreater(load.origins['a'], 0)
        until(lambda: agent.metric('mesh_retries_total', service='api') > 0)

    def test_one_that_comes_back_is_used_again(self):
        a, b = self.origin('a'), self.origin('b')
        agent = agent_before(self, a, b, policy='balance: {algorithm: round_robin}, '
                             'breaker: {open_for: 200ms}, outlier: {enabled: false}')
        with Load(agent.url + '/') as load:
            a.stop()
            until(lambda: agent.endpoints()[a.address]['breaker'] == 'open')
            a.start()
            before = a.requests
            until(lambda: agent.endpoints()[a.address]['breaker'] == 'closed' and a.requests > before + 20)
        self.assertEqual(load.failures, {})

    def test_errors_are_answered_by_another_origin(self):
        good, bad = self.origin('good'), self.origin('bad', status=503)
        agent = agent_before(self, good, bad)
        with Load(agent.url + '/') as load:
            load.wait(200)
        self.assertEqual(load.failures, {})
        self.assertGreater(bad.requests, 0)

    def test_a_call_that_may_have_had_an_effect_is_not_repeated(self):
        bad, worse = self.origin('bad', status=503), self.origin('worse', status=503)
        agent = agent_before(self, bad, worse)
        answer = request('POST', agent.url + '/', b'pay')
        self.assertEqual((answer.status, bad.requests + worse.requests), (503, 1))
        self.assertEqual(answer.headers['x-origin'], answer.text)

    def test_a_body_is_sent_again_with_the_retry(self):
        good, bad = self.origin('good'), self.origin('bad', status=503)
        agent = agent_before(self, good, bad, policy='balance: {algorithm: round_robin}')
        for _ in range(4):
            echo = request('PUT', agent.url + '/echo', b'x' * 30_000).json()
            self.assertEqual((echo['name'], len(echo['body'])), ('good', 30_000))
        self.assertGreater(bad.requests, 0)

    def test_the_retry_budget_bounds_what_an_outage_multiplies(self):
        bad = [self.origin(name, status=503) for name in ('x', 'y')]
        agent = agent_before(self, *bad, policy='breaker: {enabled: false}, outlier: {enabled: false}, '
                             'retry: {backoff: {base: 0s, max: 0s}, budget: {ratio: 0.1, min_per_second: 0}}')
        with Load(agent.url + '/') as load:
            load.wait(300)
        self.assertEqual(load.successes, 0)
        attempts = sum(origin.requests for origin in bad)
        self.assertGreater(attempts, load.requests)
        self.assertLess(attempts, load.requests * 1.25)
        until(lambda: agent.metric('mesh_retry_budget_exhausted_total', service='api') > 0)


class Dawdling(Scenario):
    def test_a_slow_origin_loses_its_traffic(self):
        fast, slow = self.origin('fast'), self.origin('slow', delay=0.15)
        agent = agent_before(self, fast, slow)
        with Load(agent.url + '/') as load:
            load.wait(400)
        self.assertEqual(load.failures, {})
        self.assertLess(load.origins['slow'], load.origins['fast'] / 5)

    def test_the_deadline_bounds_the_whole_call(self):
        agent = agent_before(self, self.origin('a', delay=30), policy='deadline: 200ms')
        answer = get(agent.url + '/')
        self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (504, 'deadline'))

    def test_an_attempt_that_takes_too_long_is_made_elsewhere(self):
        fast, stuck = self.origin('fast'), self.origin('stuck', delay=30)
        agent = agent_before(self, fast, stuck, policy='deadline: 5s, retry: {attempt_timeout: 100ms}, '
                             'balance: {algorithm: round_robin}')
        self.assertEqual([get(agent.url + '/').text for _ in range(4)], ['fast'] * 4)
        self.assertGreater(stuck.requests, 0)


class BreakingOff(Scenario):
    def test_a_cut_answer_is_never_shown_as_whole(self):
        agent = agent_before(self, self.origin('a', body=b'x' * 100_000, close_mid_body=True))
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            get(agent.url + '/')

    def test_a_cut_chunked_answer_has_no_end(self):
        cut = self.raw_origin(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
        with RawClient(agent_before(self, cut).port) as client:
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
            answer = client.read_all()
        self.assertNotIn(b'\r\n0\r\n', answer)
        self.assertTrue(answer == b'' or b'hello' in answer, answer)

    def test_an_origin_that_closes_without_an_answer_is_a_502(self):
        answer = request('POST', agent_before(self, self.raw_origin(b'')).url + '/', b'x')
        self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (502, 'upstream_reset'))
        self.assertIn('closed the connection without an answer', answer.text)

    def test_an_answer_that_is_not_http_is_a_502(self):
        origin = self.raw_origin(b'')
        agent = agent_before(self, origin, policy='breaker: {enabled: false}, outlier: {enabled: false}')
        for nonsense in (b'220 mail ready\r\n\r\n', b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
                         b'HTTP/1.1 200 OK\r\nX: y\r\n z: z\r\n\r\n', b'HTTP/1.1 200 OK\nA: b\n\n'):
            with self.subTest(nonsense):
                origin.answer = nonsense
                answer = request('POST', agent.url + '/', b'x')
                self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (502, 'upstream_protocol'))


class Nobody(Scenario):
    def test_all_broken_says_how_many_are_known_ejected_and_open(self):
        a, b = self.origin('a', status=500), self.origin('b', status=500)
        agent = agent_before(self, a, b, policy='outlier: {max_ejected_percent: 50}')
        answer = until(lambda: (answer := get(agent.url + '/')).headers['x-mesh-reason'] and answer)
        self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (503, 'no_endpoint'))
        self.assertRegex(answer.text, r'^api: 2 known, ')
        self.assertRegex(answer.text, r'1 ejected.*1 open|2 open')
        self.assertGreater(agent.metric('mesh_requests_rejected_total', service='api', reason='no_endpoint'), 0)

    def test_nobody_listening_is_a_connect_failure(self):
        class Nowhere:
            address = f'127.0.0.1:{free_port()}'

        agent = agent_before(self, Nowhere, policy='breaker: {enabled: false}, outlier: {enabled: false}')
        answer = get(agent.url + '/')
        self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (503, 'connect_failure'))
        self.assertIn('3 attempts', answer.text)

    def test_over_the_limit_of_requests_is_refused_at_once(self):
        slow = self.origin('slow', delay=30)
        agent = agent_before(self, slow, policy='limits: {requests: 4}')
        clients = [RawClient(agent.port) for _ in range(4)]
        for client in clients:
            self.addCleanup(client.__exit__)
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        until(lambda: slow.requests == 4)
        answer = get(agent.url + '/')
        self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (503, 'limit'))


if __name__ == '__main__':
    unittest.main()
