"""What `register:` announces: only once it answers, critical for a while before it goes, and never a second holder's."""
import signal
import time
import unittest

from agents import Agent
from harness import Scenario, free_port, get, until
from registries import Registry

CONFIG = """
version: 1
registry: {{kind: consul, consul: {{address: "{registry}"}}}}
admin: {{port: {admin}}}
{more}
register: [{{name: web, id: web-1, host: 127.0.0.1, port: {at}, meta: {{rack: "{rack}"}}, check: {check}, ready: {when}}}]
listeners: [{{name: web, port: {port}}}]
routes: [{{service: web}}]
"""


class Life(Scenario):
    def setUp(self):
        self.registry = Registry(self)

    def agent(self, at, rack='1', check='{kind: ttl}', when='{}', more='', name='mesh.yaml'):
        return Agent(self, CONFIG, name=name, registry=self.registry.address, at=at, rack=rack, check=check, when=when, more=more)

    def entries(self):
        return self.registry.get('/v1/health/service/web').json()

    def status(self):
        return self.registry.status('web').get('web-1')

    def test_announced_when_its_check_passes_and_not_before(self):
        at = free_port()
        agent = self.agent(at, check='{kind: http, path: /, interval: 1s}', when='{check_passes: true, timeout: 1s}')
        until(lambda: 'its check does not pass' in agent.process.log(), what='a word about why it waits')
        self.assertEqual(self.entries(), [])
        self.origin('web', port=at)
        until(lambda: self.entries(), what='the registration')

    def test_critical_while_it_drains_and_still_answering(self):
        origin = self.origin('web')
        agent = self.agent(origin.port, more='drain_delay: 1s')
        until(lambda: self.status() == 'passing')
        until(lambda: get(agent.url + '/').text == 'web')
        began = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        until(lambda: self.status() == 'critical', what='critical before it goes')
        self.assertEqual(get(agent.url + '/').status, 200)
        until(lambda: self.status() is None, what='the deregistration')
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.assertEqual(agent.process.wait(), 0)

    def test_a_second_process_with_its_id_keeps_it(self):
        older = self.agent(8081, rack='old', name='older.yaml')
        until(lambda: self.entries())
        self.agent(8082, rack='new', name='newer.yaml')
        until(lambda: self.entries()[0]['Service']['Meta']['rack'] == 'new', what='the second registration')
        older.process.send_signal(signal.SIGTERM)
        self.assertEqual(older.process.wait(), 0)
        self.assertIn('another live process has registered this id', older.process.log())
        entry, = self.entries()
        self.assertEqual((entry['Service']['Port'], entry['Service']['Meta']['rack']), (8082, 'new'))

    def test_endpoints_are_shown_by_what_they_say_about_themselves(self):
        agent = self.agent(8081, rack='7')
        until(lambda: agent.endpoints('web'))
        shown = lambda query: list(agent.page('/endpoints?' + query)['web']['endpoints'])
        until(lambda: len(shown('service=web&meta=rack=7&healthy')) == 1)
        self.assertEqual(shown('meta=rack=8'), [])
        self.assertEqual(agent.page('/endpoints?service=api'), {})
        refused = get(f'http://127.0.0.1:{agent.admin}/endpoints?rack=7')
        self.assertEqual((refused.status, refused.text), (400, 'unknown key rack\n'))


if __name__ == '__main__':
    unittest.main()
