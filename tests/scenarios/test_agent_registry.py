"""An agent with a registry: what it learns, what it announces, and how it lives through an outage."""
import signal
import unittest

from agents import Agent
from harness import Load, RawClient, Scenario, binary, free_port, get, run, until, wait_http
from registries import Registry

CONFIG = """
version: 1
registry: {{kind: consul, consul: {{address: "{registry}"}}}}
admin: {{port: {admin}}}
discovery: {{removal_grace: 0s}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
{more}
"""
REGISTER = 'register: [{{name: web, host: 127.0.0.1, port: {port}, tags: [edge], meta: {{zone: a}}, check: {check}}}]'


class Following(Scenario):
    def setUp(self):
        self.registry = Registry(self)
        self.agent = Agent(self, CONFIG, registry=self.registry.address, more='')

    def test_instances_come_and_go(self):
        self.assertEqual(get(self.agent.url + '/').headers['x-mesh-reason'], 'unknown_service')
        a, b = self.origin('a'), self.origin('b')
        self.registry.register('api', a.port)
        wait_http(self.agent.url + '/')
        self.registry.register('api', b.port)
        until(lambda: get(self.agent.url + '/').text == 'b')
        with Load(self.agent.url + '/') as load:
            load.wait(50)
            self.registry.put(f'/v1/agent/service/deregister/api-{a.port}')
            until(lambda: a.address not in self.agent.endpoints(), what='the removal')
            seen = a.requests
            load.wait(50)
        self.assertEqual((load.failures, a.requests), ({}, seen))
        until(lambda: any(event['what'] == 'endpoints changed' for event in self.agent.page('/events')))

    def test_a_critical_instance_gets_nothing(self):
        a, b = self.origin('a'), self.origin('b')
        for origin in a, b:
            self.registry.register('api', origin.port)
        until(lambda: len(self.agent.endpoints()) == 2)
        self.registry.put(f'/v1/agent/service/maintenance/api-{a.port}?enable=true')
        until(lambda: self.agent.endpoints()[a.address]['health'] == 'critical')
        seen = a.requests
        self.assertEqual({get(self.agent.url + '/').text for _ in range(20)}, {'b'})
        self.assertEqual(a.requests, seen)


class Announcing(Scenario):
    def test_what_register_says_is_in_the_registry_until_sigterm(self):
        registry, slow = Registry(self), self.origin('slow', delay=1)
        registry.register('api', slow.port)
        agent = Agent(self, CONFIG, registry=registry.address, more=REGISTER.format(port=8081, check='{kind: ttl}'))
        until(lambda: registry.ids('web') == ['web-127.0.0.1-8081'], what='the registration')
        entry, = registry.get('/v1/health/service/web').json()
        self.assertEqual((entry['Service']['Tags'], entry['Service']['Meta']['zone']), (['edge'], 'a'))
        until(lambda: agent.endpoints())
        with RawClient(agent.port) as client:
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
            until(lambda: slow.requests)
            agent.process.send_signal(signal.SIGTERM)
            until(lambda: registry.ids('web', '') == [], what='the deregistration')
            self.assertIsNone(agent.process.exit_code(), 'it ended before its request did')
            self.assertIn(b' 200 ', client.read_until(b'\r\n'))
        self.assertEqual(agent.process.wait(), 0)

    def test_a_registry_that_forgot_is_told_again(self):
        registry = Registry(self)
        Agent(self, CONFIG, registry=registry.address, more=REGISTER.format(port=8081, check='{kind: ttl, ttl: 1s}'))
        until(lambda: registry.ids('web'))
        registry.process.kill()
        registry = Registry(self, port=registry.port)
        until(lambda: registry.ids('web'), what='the registration anew')


class Outage(Scenario):
    def test_an_agent_starts_without_its_registry_and_is_ready_when_it_comes(self):
        port, api = free_port(), self.origin('api')
        agent = Agent(self, CONFIG, ready=False, registry=f'127.0.0.1:{port}', more='')
        unready = wait_http(f'http://127.0.0.1:{agent.admin}/ready', lambda answer: answer.status == 503, process=agent.process)
        self.assertEqual([reason['part'] for reason in unready.json()['reasons']], ['registry'])
        until(lambda: f'127.0.0.1:{port}' in agent.page('/ready')['reasons'][0]['why'], what='which registry')
        self.assertEqual(get(agent.url + '/').status, 503)
        registry = Registry(self, port=port)
        registry.register('api', api.port)
        wait_http(f'http://127.0.0.1:{agent.admin}/ready', deadline=15)
        wait_http(agent.url + '/')

    def test_an_outage_stops_no_traffic(self):
        registry, a, b = Registry(self, self.dir / 'state'), self.origin('a'), self.origin('b')
        for origin in a, b:
            registry.register('api', origin.port)
        agent = Agent(self, CONFIG, registry=registry.address, more='')
        until(lambda: len(agent.endpoints()) == 2)
        with Load(agent.url + '/', pause=0.002) as load:
            load.wait(100)
            registry.process.kill()
            until(lambda: agent.metric('mesh_registry_up') == 0, what='the outage noticed')
            load.wait(300)
            self.assertEqual(len(agent.endpoints()), 2)
            registry = Registry(self, self.dir / 'state', port=registry.port)
            c = self.origin('c')
            registry.register('api', c.port)
            until(lambda: c.requests, deadline=20, what='traffic at what came after the outage')
        self.assertEqual(load.failures, {})
        self.assertEqual(len(agent.endpoints()), 3)


class Token(Scenario):
    def test_goes_to_the_registry_and_nowhere_else(self):
        consul = self.origin('not JSON', status=403)  # its answers are complained about
        canary = 'canary-in-the-environment'
        text = CONFIG.replace('{registry}"', '{registry}", token: "{token}"')
        agent = Agent(self, text, ready=False, env={'TOKEN_HERE': canary}, token='${env:TOKEN_HERE}', registry=consul.address,
                      more='log: {level: debug}')
        until(lambda: consul.seen)
        self.assertEqual(consul.seen[0][2].get('X-Consul-Token'), canary)
        wait_http(f'http://127.0.0.1:{agent.admin}/ready', lambda answer: answer.status == 503)
        pages = [get(f'http://127.0.0.1:{agent.admin}{page}').text
                 for page in ('/config', '/ready', '/endpoints', '/events', '/metrics')]
        agent.process.stop()
        self.assertNotIn(canary, '\n'.join(pages) + agent.process.log())


class Embedded(Scenario):
    CONFIG = """
version: 1
registry: {{embedded: {{port: {registry}}}}}
admin: {{port: {admin}}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
"""

    def test_dev_is_a_whole_mesh_in_one_process(self):
        registry, admin, port, api = free_port(), free_port(), free_port(), self.origin('api')
        config = self.write('mesh.yaml', self.CONFIG.format(registry=registry, admin=admin, port=port))
        agent = self.start(binary('dpmesh'), 'agent', '--dev', '--config', config)
        wait_http(f'http://127.0.0.1:{admin}/ready', process=agent)
        done = run(binary('dpmesh'), 'register', 'api', '--host', '127.0.0.1', '--port', api.port, '--check-interval', '1s',
                   '--registry', f'127.0.0.1:{registry}')
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_http(f'http://127.0.0.1:{port}/')
        self.assertEqual(get(f'http://127.0.0.1:{port}/').text, 'api')
        self.assertEqual(agent.stop(), 0)

    def test_durable_state_needs_a_place(self):
        config = self.write('mesh.yaml', self.CONFIG.format(registry=free_port(), admin=free_port(), port=free_port()))
        done = run(binary('dpmesh'), 'agent', '--config', config)
        self.assertEqual(done.returncode, 1)
        self.assertIn('registry.embedded.data_dir', done.stderr)


if __name__ == '__main__':
    unittest.main()
