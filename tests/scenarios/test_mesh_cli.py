"""The command line asks and tells the registry, for people and for scripts."""
import json
import signal
import unittest

from harness import Scenario, binary, free_port, run, until
from registries import Registry


class CommandLine(Scenario):
    def setUp(self):
        self.registry = Registry(self)

    def dpmesh(self, *argv, code=0):
        done = run(binary('dpmesh'), *argv, '--registry', self.registry.address)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def json(self, *argv):
        return json.loads(self.dpmesh(*argv, '-o', 'json').stdout)

    def test_register_list_deregister_as_json(self):
        registered = self.json('register', 'api', '--host', '127.0.0.1', '--port', '8081', '--tag', 'v1', '--tag', 'eu',
                               '--meta', 'zone=a', '--weight', '3', '--check', 'none')
        self.assertEqual(registered, {'id': 'api-127.0.0.1-8081'})
        self.assertEqual(self.json('services'), [{'name': 'api', 'tags': ['eu', 'v1']}])
        endpoint, = self.json('endpoints', 'api')
        self.assertEqual({key: endpoint[key] for key in ('id', 'service', 'host', 'port', 'weight', 'health', 'tags')}, {
            'id': 'api-127.0.0.1-8081', 'service': 'api', 'host': '127.0.0.1', 'port': 8081, 'weight': 3, 'health': 'passing',
            'tags': ['v1', 'eu']})
        self.assertEqual(endpoint['metadata']['zone'], 'a')
        self.assertEqual(self.registry.ids('api'), ['api-127.0.0.1-8081'])
        self.dpmesh('deregister', 'api-127.0.0.1-8081')
        self.assertEqual(self.json('services'), [])

    def test_tables_for_people(self):
        self.assertEqual(self.dpmesh('register', 'api', '--host', '127.0.0.1', '--port', '8081', '--check', 'none').stdout,
                         'api-127.0.0.1-8081\n')
        self.assertEqual(self.dpmesh('services').stdout.split(), ['SERVICE', 'TAGS', 'api', '-'])
        header, row = self.dpmesh('endpoints', 'api').stdout.splitlines()
        self.assertEqual(header.split(), ['ID', 'ADDRESS', 'HEALTH', 'WEIGHT', 'TAGS', 'METADATA'])
        self.assertEqual(row.split()[:4], ['api-127.0.0.1-8081', '127.0.0.1:8081', 'passing', '1'])
        self.assertEqual(row.index('127.0.0.1:8081'), header.index('ADDRESS'))

    def test_a_check_decides_about_the_health(self):
        api = self.origin('api', health_status=500)
        self.dpmesh('register', 'api', '--host', '127.0.0.1', '--port', api.port, '--check-interval', '1s')
        until(lambda: api.checks)
        self.assertEqual(self.json('endpoints', 'api')[0]['health'], 'critical')
        api.health_status = 200
        until(lambda: self.json('endpoints', 'api')[0]['health'] == 'passing', what='passing')

    def test_the_same_id_replaces(self):
        for weight in '1', '7':
            self.dpmesh('register', 'api', '--host', '127.0.0.1', '--port', '8081', '--id', 'one', '--weight', weight, '--check', 'none')
        self.assertEqual([endpoint['weight'] for endpoint in self.json('endpoints', 'api')], [7])

    def test_endpoints_can_be_selected(self):
        for port, words in ((1, '--tag v1 --zone a --version 1.0'), (2, '--tag v1 --tag canary --zone b --meta rack=7'),
                            (3, '--tag v2 --zone a --capability grpc --capability http/2 --environment test --region eu')):
            self.dpmesh('register', 'api', '--host', '127.0.0.1', '--port', port, '--id', f'api-{port}', '--check', 'none', *words.split())
        self.registry.put('/v1/agent/service/maintenance/api-3?enable=true')

        def selected(words):
            return [endpoint['id'] for endpoint in self.json('endpoints', 'api', *words.split())]

        self.assertEqual(selected('--tag v1'), ['api-1', 'api-2'])
        self.assertEqual(selected('--tag v1 --tag canary'), ['api-2'])
        self.assertEqual(selected('--meta rack=7'), ['api-2'])
        self.assertEqual(selected('--zone a'), ['api-1', 'api-3'])
        self.assertEqual(selected('--zone a --healthy'), ['api-1'])
        self.assertEqual(selected('--version 1.0'), ['api-1'])
        self.assertEqual(selected('--capability grpc --environment test --region eu'), ['api-3'])
        self.assertIn('none of the 3 endpoints of api matches zone=nowhere', self.dpmesh('endpoints', 'api', '--zone', 'nowhere', code=1).stderr)
        self.assertIn('zone "a b" must be', self.dpmesh('endpoints', 'api', '--zone', 'a b', code=2).stderr)
        self.assertIn('not key=value', self.dpmesh('endpoints', 'api', '--meta', 'rack', code=2).stderr)

    def test_watch_prints_every_change_as_a_line(self):
        self.registry.register('api', 8081)
        watch = self.start(binary('dpmesh'), 'watch', 'api', '-o', 'json', '--registry', self.registry.address)

        def changes():
            return [(line['change'], line['endpoint']['id'], line['endpoint']['health'])
                    for line in map(json.loads, watch.log().splitlines())]

        until(lambda: changes() == [('added', 'api-8081', 'passing')], what='the first line')
        self.registry.register('api', 8082)
        until(lambda: changes()[1:] == [('added', 'api-8082', 'passing')], what='the second')
        self.registry.put('/v1/agent/service/maintenance/api-8081?enable=true')
        until(lambda: changes()[2:] == [('changed', 'api-8081', 'critical')], what='the third')
        self.registry.put('/v1/agent/service/deregister/api-8081')
        until(lambda: changes()[3:] == [('removed', 'api-8081', 'critical')], what='the fourth')
        watch.send_signal(signal.SIGINT)
        self.assertIsNotNone(watch.wait())

    def test_watch_as_text(self):
        watch = self.start(binary('dpmesh'), 'watch', 'api', '--registry', self.registry.address)
        watch.wait_log('no endpoint yet')
        self.registry.register('api', 8081)
        watch.wait_log('added    api-8081 127.0.0.1:8081 passing')

    def test_what_the_registry_does_not_know_is_a_failure(self):
        self.assertIn('nobody', self.dpmesh('endpoints', 'nobody', code=1).stderr)
        self.assertIn('nobody', self.dpmesh('deregister', 'nobody', code=1).stderr)

    def test_a_registry_that_is_down_is_3_for_every_command(self):
        nowhere = f'127.0.0.1:{free_port()}'
        for argv in (['services'], ['endpoints', 'api'], ['watch', 'api'], ['deregister', 'api-1'],
                     ['register', 'api', '--host', '127.0.0.1', '--port', '1']):
            with self.subTest(argv):
                done = run(binary('dpmesh'), *argv, '--registry', nowhere)
                self.assertEqual((done.returncode, done.stdout), (3, ''))
                self.assertIn(nowhere, done.stderr)

    def test_the_registry_is_found_by_consuls_variable(self):
        self.registry.register('api', 8081)
        done = run(binary('dpmesh'), 'services', env={'CONSUL_HTTP_ADDR': self.registry.address})
        self.assertIn('api', done.stdout)


if __name__ == '__main__':
    unittest.main()
