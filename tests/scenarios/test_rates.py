"""Rates, bulkheads and throttling before real origins, and a rate that two agents share through a real Redis."""
import unittest

from agents import Agent, agent_before
from harness import Scenario, get, until
from redis_server import Redis

SHARING = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
redis: {{enabled: true, address: "127.0.0.1:{redis}"}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
services: {{api: {{endpoints: ["{origin}"], policy: {{limits: {{rate: {{calls: 60, per: 1h, burst: 20, algorithm: {algorithm}}}, share_rate: true}}}}}}}}
"""


class Rates(Scenario):
    def test_a_rate_is_refused_with_429_and_when_to_come_again(self):
        origin = self.origin('api')
        agent = agent_before(self, origin, policy='limits: {rate: {calls: 3, per: 1h}}')
        self.assertEqual([get(agent.url + '/').status for _ in range(5)], [200, 200, 200, 429, 429])
        refused = get(agent.url + '/')
        self.assertEqual(refused.headers['x-mesh-reason'], 'rate_limit')
        self.assertTrue(1100 < int(refused.headers['retry-after']) <= 1200, refused.headers['retry-after'])
        self.assertEqual(origin.requests, 3)
        until(lambda: agent.metric('mesh_requests_rejected_total', service='api', reason='rate_limit') == 3)

    def test_each_caller_that_a_header_names_has_its_own(self):
        origin = self.origin('api')
        agent = agent_before(self, origin, policy='limits: {callers: {header: x-tenant, rate: {calls: 2, per: 1h}}}')
        for tenant in 'ab':
            answers = [get(agent.url + '/', headers={'X-Tenant': tenant}) for _ in range(3)]
            self.assertEqual([answer.status for answer in answers], [200, 200, 429])
            self.assertEqual(answers[2].headers['x-mesh-reason'], 'caller_rate')
        until(lambda: agent.metric('mesh_limit_callers', service='api') == 2)

    def sharing(self, redis, algorithm):
        origin = self.origin('api')
        agents = [Agent(self, SHARING, name=f'{name}.yaml', redis=redis.port, origin=origin.address, algorithm=algorithm)
                  for name in ('first', 'second')]
        for agent in agents:
            until(lambda: agent.metric('mesh_shared_tokens_up') == 1, what='the exchange')
        return agents

    def answers(self, agents, good):
        """What both answer in turn, until so many were good and forty times more."""
        statuses = []

        def ask():
            statuses.extend(get(agent.url + '/').status for agent in agents)
            return statuses.count(200) >= good

        until(ask, what=f'{good} good answers')
        for _ in range(40):
            ask()
        return statuses

    def test_two_agents_share_a_sliding_window(self):
        agents = self.sharing(Redis(self), 'sliding_window')
        statuses = self.answers(agents, 56)
        self.assertEqual(set(statuses), {200, 429})
        # Thirty more if an answer of Redis took so long that one took itself for alone.
        self.assertLessEqual(statuses.count(200), 90)

    def test_two_agents_share_a_rate(self):
        redis = Redis(self)
        agents = self.sharing(redis, 'token_bucket')
        # Twenty at once in all, and what each had before it was connected; alone each would have twenty.
        statuses = self.answers(agents, 18)
        self.assertEqual(set(statuses), {200, 429})
        self.assertLessEqual(statuses.count(200), 26)
        redis.process.kill()
        until(lambda: agents[0].metric('mesh_shared_tokens_up') == 0, what='the end of it')
        self.assertIn(get(agents[0].url + '/').status, (200, 429))


if __name__ == '__main__':
    unittest.main()
