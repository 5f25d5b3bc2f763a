"""Circuit breakers before real origins: what counts as a failure, the breaker of a whole service, dependencies, sharing."""
import unittest

from agents import Agent, agent_before
from harness import Scenario, get, request, until
from redis_server import Redis
from registries import Registry

FOLLOWING = """
version: 1
registry: {{kind: consul, consul: {{address: "{registry}"}}}}
admin: {{port: {admin}}}
discovery: {{removal_grace: 0s}}
listeners: [{{name: web, port: {port}}}]
routes: [{{path_prefix: /orders, service: orders}}, {{path_prefix: /payments, service: payments}}]
defaults: {{policy: {{retry: {{attempts: 1}}, outlier: {{enabled: false}}}}}}
services: {{orders: {{policy: {{dependencies: {{fail_fast: true}}}}}}}}
"""
SHARING = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
redis: {{enabled: true, address: "127.0.0.1:{redis}"}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
defaults: {{policy: {{share_breakers: true, retry: {{attempts: 1}}, outlier: {{enabled: false}}}}}}
services: {{api: {{endpoints: ["{origin}"]}}}}
"""


class Breakers(Scenario):
    def test_the_statuses_that_count_as_failures_are_the_operators(self):
        origin = self.origin('busy', status=429)
        agent = agent_before(self, origin, policy='failure_statuses: [429], retry: {attempts: 1}')
        for _ in range(5):
            self.assertEqual(get(agent.url + '/').status, 429)
        until(lambda: agent.endpoints()[origin.address]['breaker'] == 'open', what='the breaker')
        self.assertEqual(get(agent.url + '/').headers['x-mesh-reason'], 'no_endpoint')

        broken = self.origin('broken', status=500)
        agent = agent_before(self, broken, policy='failure_statuses: [503], retry: {attempts: 1}')
        for _ in range(30):
            self.assertEqual(get(agent.url + '/').status, 500)
        self.assertEqual(agent.endpoints()[broken.address]['failures'], 0)

    def test_a_service_that_fails_everywhere_is_refused_at_once(self):
        origins = [self.origin(f'bad{i}', status=500) for i in range(3)]
        agent = agent_before(self, *origins, policy='retry: {attempts: 1}, outlier: {enabled: false}, breaker: {enabled: false}, '
                                                    'service_breaker: {enabled: true, consecutive: 6}')
        for _ in range(5):
            self.assertEqual(get(agent.url + '/').status, 500)
        until(lambda: get(agent.url + '/').headers.get('x-mesh-reason') == 'breaker_open', what='the breaker')
        seen = sum(origin.requests for origin in origins)
        self.assertEqual(get(agent.url + '/').status, 503)
        self.assertEqual(sum(origin.requests for origin in origins), seen)
        page = agent.page('/endpoints')['api']
        self.assertEqual((page['breaker'], page['verdict']), ('open', 'unhealthy'))
        until(lambda: agent.metric('mesh_service_breaker_state', service='api') == 2)

    def test_callers_are_told_which_dependency_fails(self):
        registry, orders, payments = Registry(self), self.origin('orders'), self.origin('payments', status=500)
        agent = Agent(self, FOLLOWING, registry=registry.address)
        registry.register('orders', orders.port, Meta={'dependencies': 'payments'})
        registry.register('payments', payments.port)
        until(lambda: get(agent.url + '/orders').status == 200, what='orders')
        until(lambda: get(agent.url + '/payments').status == 500, what='payments')
        for _ in range(5):
            get(agent.url + '/payments')
        refused = until(lambda: (answer := get(agent.url + '/orders')).status == 503 and answer, what='the refusal')
        self.assertEqual(refused.headers['x-mesh-reason'], 'dependency')
        self.assertIn('orders: depends on payments: none of its 1 endpoints is available', refused.text)
        page = agent.page('/endpoints')['orders']
        self.assertEqual((page['dependencies'], page['verdict']), (['payments'], 'degraded'))
        self.assertEqual(page['degraded_because'], 'payments: none of its 1 endpoints is available')
        until(lambda: agent.metric('mesh_service_degraded', service='orders') == 1)
        id = agent.endpoints('payments')[payments.address]['id']
        request('PUT', f'http://127.0.0.1:{agent.admin}/breaker?service=payments&endpoint={id}&force=closed')
        until(lambda: get(agent.url + '/orders').status == 200, what='the end of it')

    def test_what_one_agent_finds_the_other_probes(self):
        redis, origin = Redis(self), self.origin('bad', status=500)
        first, second = (Agent(self, SHARING, name=f'{name}.yaml', redis=redis.port, origin=origin.address) for name in ('first', 'second'))
        for _ in range(5):
            get(first.url + '/')
        until(lambda: first.endpoints()[origin.address]['breaker'] == 'open', what='the breaker')
        until(lambda: second.endpoints()[origin.address]['breaker'] == 'half-open', what='the word')
        until(lambda: any(event['why'] == 'opened elsewhere' for event in second.page('/events')), what='the event')
        seen = origin.requests
        self.assertEqual(get(second.url + '/').status, 500)  # the probe: one is enough to know
        until(lambda: second.endpoints()[origin.address]['breaker'] == 'open', what='the verdict of the probe')
        self.assertEqual(origin.requests, seen + 1)
        redis.process.kill()
        self.assertEqual(get(second.url + '/').headers['x-mesh-reason'], 'no_endpoint')


if __name__ == '__main__':
    unittest.main()
