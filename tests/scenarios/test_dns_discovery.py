"""An agent that knows services by DNS only: another registry's, that may go away."""
import signal

from agents import Agent
from harness import Scenario, free_port, get, until, wait_http
from registries import Registry

CONFIG = """
version: 1
registry: {{kind: dns, dns: {{servers: ["127.0.0.1:{dns}"], name: "{pattern}", ttl_min: 100ms}}}}
admin: {{port: {admin}}}
discovery: {{removal_grace: 0s}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
"""


class DnsDiscovery(Scenario):
    def setUp(self):
        self.registry = Registry(self, dns_port=free_port())
        self.a, self.b = self.origin('a'), self.origin('b')
        self.registry.register('api', self.a.port)

    def agent_on(self, pattern):
        agent = Agent(self, CONFIG, dns=self.registry.dns_port, pattern=pattern)
        wait_http(agent.url + '/', process=agent.process)
        return agent

    def test_it_follows_what_dns_says(self):
        agent = self.agent_on('{service}.service.consul')
        self.assertEqual(get(agent.url + '/').text, 'a')
        self.registry.register('api', self.b.port)
        until(lambda: {get(agent.url + '/').text for _ in range(6)} == {'a', 'b'}, what='both are used')
        self.registry.put(f'/v1/agent/service/deregister/api-{self.a.port}')
        until(lambda: list(agent.endpoints()) == [self.b.address], what='one is left')

    def test_dns_that_hangs_or_dies_stops_no_traffic(self):
        agent = self.agent_on('_{service}._tcp.service.consul')
        self.registry.process.send_signal(signal.SIGSTOP)
        agent.process.wait_log('the registry fails', deadline=30)
        self.assertEqual({get(agent.url + '/').text for _ in range(20)}, {'a'})
        self.registry.process.send_signal(signal.SIGCONT)
        agent.process.wait_log('the registry answers again', deadline=30)
        self.registry.process.kill()
        until(lambda: agent.process.log().count('the registry fails') >= 2, deadline=30, what='the agent notices')
        self.assertEqual({get(agent.url + '/').text for _ in range(20)}, {'a'})
