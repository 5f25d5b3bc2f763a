"""An agent on two registries at once: one that speaks Consul's API, and a file."""
import os

from agents import Agent
from harness import Load, Scenario, get, until, wait_http
from registries import Registry

CONFIG = """
version: 1
registry:
  kind: merged
  merged: {{members: [consul, file], mode: {mode}, failover_after: 1s}}
  consul: {{address: "{registry}"}}
  file: {{path: "{file}"}}
admin: {{port: {admin}}}
discovery: {{removal_grace: 0s, reset_grace: 0s}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
defaults: {{policy: {{balance: {{algorithm: round_robin}}}}}}
register: [{{name: web, host: 127.0.0.1, port: 8081, check: {{kind: none}}}}]
"""


class TwoRegistries(Scenario):
    def setUp(self):
        self.registry = Registry(self)
        self.far, self.near = self.origin('far'), self.origin('near')
        self.registry.register('api', self.far.port)
        self.file(self.near)

    def file(self, *origins):
        lines = ''.join(f'    - {{host: 127.0.0.1, port: {origin.port}}}\n' for origin in origins)
        self.path = self.dir / 'services.yaml'
        os.replace(self.write('services.new', 'services:\n  api:\n' + lines), self.path)

    def agent(self, mode):
        agent = Agent(self, CONFIG, registry=self.registry.address, file=self.path, mode=mode)
        wait_http(agent.url + '/', process=agent.process)
        return agent

    def answers(self, agent):
        return {get(agent.url + '/').text for _ in range(20)}

    def test_by_priority_the_second_steps_in_when_the_first_is_gone_for_long(self):
        agent = self.agent('priority')
        self.assertEqual(self.answers(agent), {'far'})
        until(lambda: self.registry.ids('web') == ['web-127.0.0.1-8081'], what='the registration at the first that can')
        with Load(agent.url + '/') as load:
            self.registry.process.kill()
            until(lambda: self.near.requests, 20, 'the file')
            self.registry = Registry(self, port=self.registry.port)
            self.registry.register('api', self.far.port)
            until(lambda: list(agent.endpoints()) == [self.far.address], 40, 'the first again')
        self.assertEqual(load.failures, {})

    def test_together_both_are_used_and_what_one_knew_stays(self):
        agent = self.agent('all')
        until(lambda: len(agent.endpoints()) == 2, what='both')
        self.assertEqual(self.answers(agent), {'far', 'near'})
        self.registry.process.kill()
        until(lambda: agent.metric('mesh_registry_up', registry='consul') == 0, what='the outage')
        more = self.origin('more')
        self.file(self.near, more)
        until(lambda: len(agent.endpoints()) == 3, what='the news of the other')
        self.assertEqual(self.answers(agent), {'far', 'near', 'more'})
