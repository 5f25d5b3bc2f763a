"""An agent on each registry that is not Consul's API: it follows what is there, and announces where it can."""
import os
import signal
import unittest

from agents import Agent
from harness import Scenario, free_port, get, peer, until, wait_http

CONFIG = """
version: 1
registry: {{{registry}}}
admin: {{port: {admin}}}
discovery: {{removal_grace: 0s}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
{more}
"""


class OnAFile(Scenario):
    def services(self, *origins):
        lines = ''.join(f'    - {{host: 127.0.0.1, port: {origin.port}, meta: {{zone: {origin.name}}}}}\n' for origin in origins)
        text = 'services:\n  api:\n' + lines
        path = self.write('services.new', text)
        os.replace(path, os.path.join(os.path.dirname(path), 'services.yaml'))
        return os.path.join(os.path.dirname(path), 'services.yaml')

    def test_it_follows_the_file(self):
        a, b = self.origin('a'), self.origin('b')
        path = self.services(a)
        agent = Agent(self, CONFIG, registry=f'kind: file, file: {{path: "{path}"}}',
                      more='services: {api: {policy: {balance: {algorithm: round_robin}}}}')
        wait_http(agent.url + '/')
        self.assertEqual(get(agent.url + '/').text, 'a')
        self.services(a, b)
        until(lambda: len(agent.endpoints()) == 2, what='the second endpoint')
        self.assertEqual({get(agent.url + '/').text for _ in range(10)}, {'a', 'b'})

    def test_only_the_subset_is_called(self):
        a, b = self.origin('a'), self.origin('b')
        path = self.services(a, b)
        agent = Agent(self, CONFIG, registry=f'kind: file, file: {{path: "{path}"}}',
                      more='services: {{api: {{policy: {{subset: {{zone: b}}}}}}}}'.format())
        wait_http(agent.url + '/')
        self.assertEqual({get(agent.url + '/').text for _ in range(10)}, {'b'})
        self.assertEqual(list(agent.endpoints()), [b.address])

    def test_what_cannot_be_announced_is_said(self):
        path = self.services(self.origin('a'))
        agent = Agent(self, CONFIG, registry=f'kind: file, file: {{path: "{path}"}}',
                      more='register: [{name: web, host: 127.0.0.1, port: 1, check: {kind: none}}]')
        agent.process.wait_log('read-only')


class OnEtcd(Scenario):
    def setUp(self):
        port, peers = free_port(), free_port()
        at, among = f'http://127.0.0.1:{port}', f'http://127.0.0.1:{peers}'
        self.etcd = self.start(peer('etcd'), '--name', 'one', '--data-dir', str(self.dir / 'etcd'), '--listen-client-urls', at,
                               '--advertise-client-urls', at, '--listen-peer-urls', among, '--initial-advertise-peer-urls', among,
                               '--initial-cluster', f'one={among}')
        wait_http(at + '/health', process=self.etcd)
        self.registry = f'kind: etcd, etcd: {{endpoints: ["127.0.0.1:{port}"], lease_ttl: 5s}}'

    def test_one_agent_announces_and_another_routes(self):
        a = self.origin('a')
        router = Agent(self, CONFIG, registry=self.registry, more='')
        announcer = Agent(self, CONFIG, registry=self.registry, name='announcer.yaml',
                          more='register: [{{name: api, host: 127.0.0.1, port: {}, check: {{kind: none}}}}]'.format(a.port))
        wait_http(router.url + '/')
        self.assertEqual(get(router.url + '/').text, 'a')
        announcer.process.send_signal(signal.SIGTERM)
        self.assertEqual(announcer.process.wait(), 0)
        until(lambda: not router.endpoints(), what='the deregistration')

    def test_what_a_killed_agent_announced_ends_with_its_lease(self):
        a = self.origin('a')
        router = Agent(self, CONFIG, registry=self.registry, more='')
        announcer = Agent(self, CONFIG, registry=self.registry, name='announcer.yaml',
                          more='register: [{{name: api, host: 127.0.0.1, port: {}, check: {{kind: none}}}}]'.format(a.port))
        until(lambda: router.endpoints(), what='the registration')
        announcer.process.kill()
        until(lambda: not router.endpoints(), deadline=30, what='the end of the lease')


class OnZookeeper(Scenario):
    JAR = '/usr/share/java/zookeeper.jar'

    def setUp(self):
        peer('java')
        if not os.path.exists(self.JAR):
            raise unittest.SkipTest('no ZooKeeper here')
        port = free_port()
        config = self.write('zoo.cfg', f'tickTime=500\ndataDir={self.dir}/zookeeper\nclientPort={port}\n'
                            'clientPortAddress=127.0.0.1\nadmin.enableServer=false\n')
        self.start(peer('java'), '-Xmx128m', '-cp', self.JAR, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', config)
        self.registry = f'kind: zookeeper, zookeeper: {{servers: ["127.0.0.1:{port}"], session_timeout: 2s}}'

    def test_what_an_agent_announced_ends_with_it(self):
        a = self.origin('a')
        register = 'register: [{{name: api, host: 127.0.0.1, port: {}, check: {{kind: none}}}}]'.format(a.port)
        router = Agent(self, CONFIG, registry=self.registry, more='')
        announcer = Agent(self, CONFIG, registry=self.registry, name='announcer.yaml', more=register)
        until(lambda: router.endpoints(), deadline=30, what='the registration')
        self.assertEqual(get(router.url + '/').text, 'a')
        announcer.process.send_signal(signal.SIGTERM)
        self.assertEqual(announcer.process.wait(), 0)
        until(lambda: not router.endpoints(), what='the deregistration')
        killed = Agent(self, CONFIG, registry=self.registry, name='killed.yaml', more=register)
        until(lambda: router.endpoints(), what='the second registration')
        killed.process.kill()
        until(lambda: not router.endpoints(), deadline=30, what='the end of the session')


if __name__ == '__main__':
    unittest.main()
