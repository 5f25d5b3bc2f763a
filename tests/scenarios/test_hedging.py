"""Hedging before real origins: who is slow costs nobody its time, what that costs the others, and when it is left."""
import concurrent.futures
import unittest

from agents import agent_before
from harness import Scenario, get, request, until

SLOW_SECONDS = 0.6
CALLS = 40
POLICY = 'balance: {algorithm: round_robin}, retry: {attempts: 1}, outlier: {enabled: false}, '


class Hedging(Scenario):
    def origins(self):
        """Five, of which the last is slow."""
        return [self.origin(f'o{i}') for i in range(4)] + [self.origin('slow', delay=SLOW_SECONDS)]

    def hedges(self, agent, outcome):
        return agent.metric('mesh_hedges_total', service='api', outcome=outcome)

    def sent(self, agent):
        return sum(self.hedges(agent, outcome) for outcome in ('won', 'lost', 'failed'))

    def test_nobody_waits_for_one_that_is_slow(self):
        origins = self.origins()
        plain = agent_before(self, *origins, policy=POLICY.rstrip(', '))
        waited = [get(plain.url + '/').text for _ in range(10)].count('slow')
        self.assertEqual(waited, 2, 'a fifth of the calls, in turns')
        before = sum(origin.requests for origin in origins)

        hedging = agent_before(self, *origins, policy=POLICY + 'hedge: {max: 0.5, delay: 50ms}')
        answers = [get(hedging.url + '/') for _ in range(CALLS)]
        self.assertEqual({answer.status for answer in answers}, {200})
        # The share of the calls is paid in by calls: one of the first two may find nothing there.
        self.assertLessEqual([answer.text for answer in answers].count('slow'), 1)
        sent = until(lambda: (s := sum(origin.requests for origin in origins) - before) >= CALLS and s, what='the requests')
        until(lambda: self.sent(hedging) == sent - CALLS, what='as many hedges in the metrics')
        self.assertLessEqual(sent - CALLS, CALLS / 2)
        won = self.hedges(hedging, 'won')
        self.assertGreaterEqual(won, CALLS / 5 - 3)

        # The losers: cancelled, not blamed, and known to be slow.
        until(lambda: hedging.metric('mesh_attempts_total', service='api', outcome='cancelled') >= won, what='the losers')
        slow = hedging.endpoints()[origins[-1].address]
        self.assertEqual((slow['failures'], slow['breaker'], slow['verdict']), (0, 'closed', 'healthy'))
        told = get(f'http://127.0.0.1:{hedging.admin}/explain?service=api').text
        self.assertIn('hedge', told)
        self.assertRegex(told, r'hedge[^"]*sent')

    def test_hedges_are_no_more_than_their_share_when_everything_is_slow(self):
        origins = [self.origin(f'o{i}', delay=0.15) for i in range(4)]
        agent = agent_before(self, *origins, policy=POLICY + 'hedge: {max: 0.1, delay: 20ms}')
        with concurrent.futures.ThreadPoolExecutor(5) as callers:
            statuses = list(callers.map(lambda _: get(agent.url + '/').status, range(CALLS)))
        self.assertEqual(set(statuses), {200})
        sent = sum(origin.requests for origin in origins) - CALLS
        self.assertGreaterEqual(sent, 1)
        self.assertLessEqual(sent, CALLS * 0.1)
        until(lambda: self.sent(agent) == sent, what='as many hedges in the metrics')
        until(lambda: self.hedges(agent, 'refused') > 0, what='those that were not sent')

    def test_an_overloaded_service_is_not_hedged(self):
        origins = self.origins()
        agent = agent_before(self, *origins, policy=POLICY + 'hedge: {max: 0.5, delay: 50ms}, limits: {requests: 1}')
        answers = [get(agent.url + '/').text for _ in range(15)]
        self.assertEqual(answers.count('slow'), 3, 'the one place is taken by the first attempt')
        self.assertEqual(sum(origin.requests for origin in origins), 15)
        until(lambda: self.hedges(agent, 'refused') == 3, what='those that were not sent')
        self.assertIn('overloaded', get(f'http://127.0.0.1:{agent.admin}/explain?service=api').text)

    def test_what_may_not_be_repeated_is_not_hedged(self):
        origins = self.origins()
        agent = agent_before(self, *origins, policy=POLICY + 'hedge: {max: 0.5, delay: 50ms}')
        answers = [request('POST', agent.url + '/', body='x').text for _ in range(10)]
        self.assertEqual(answers.count('slow'), 2)
        self.assertEqual(sum(origin.requests for origin in origins), 10)


if __name__ == '__main__':
    unittest.main()
