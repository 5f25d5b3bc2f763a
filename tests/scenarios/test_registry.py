"""The embedded registry as Consul's clients use it."""
import base64
import json
import signal
import subprocess
import threading
import unittest

from harness import RawClient, Scenario, free_port, peer, peer_module, until
from registries import Registry


class Services(Scenario):
    def setUp(self):
        self.registry = Registry(self)

    def test_register_find_deregister(self):
        registry = self.registry
        registry.register('api', 8081, Tags=['v1'], Meta={'zone': 'a'}, Weights={'Passing': 3, 'Warning': 1})
        entry, = registry.get('/v1/health/service/api').json()
        service = entry['Service']
        self.assertEqual((service['ID'], service['Service'], service['Address'], service['Port']), ('api-8081', 'api', '127.0.0.1', 8081))
        self.assertEqual((service['Tags'], service['Meta'], service['Weights']), (['v1'], {'zone': 'a'}, {'Passing': 3, 'Warning': 1}))
        self.assertEqual(entry['Node']['Address'], '127.0.0.1')
        self.assertEqual(registry.get('/v1/catalog/services').json()['api'], ['v1'])
        self.assertEqual(registry.get('/v1/catalog/service/api').json()[0]['ServicePort'], 8081)
        self.assertIn('api-8081', registry.get('/v1/agent/services').json())
        self.assertEqual(registry.put('/v1/agent/service/deregister/api-8081').status, 200)
        self.assertEqual(registry.ids('api'), [])
        self.assertNotIn('api', registry.get('/v1/catalog/services').json())

    def test_the_same_id_again_replaces(self):
        self.registry.register('api', 8081, Tags=['old'])
        self.registry.register('api', 8081, Tags=['new'])
        entry, = self.registry.get('/v1/health/service/api').json()
        self.assertEqual(entry['Service']['Tags'], ['new'])

    def test_namespaces_and_partitions_are_ignored(self):
        body = json.dumps({'Name': 'api', 'Port': 8081}).encode()
        self.assertEqual(self.registry.put('/v1/agent/service/register?ns=one&partition=p', body).status, 200)
        for query in '', '?ns=two', '?partition=q&ns=*':
            for path in '/v1/health/service/api', '/v1/catalog/service/api':
                self.assertEqual(len(self.registry.get(path + query).json()), 1, path + query)
        self.assertEqual(self.registry.put('/v1/kv/a?ns=one', b'x').text, 'true')
        self.assertEqual(self.registry.get('/v1/kv/a?ns=two&raw').text, 'x')

    def test_a_tag_selects(self):
        self.registry.register('api', 8081, Tags=['v1'])
        self.registry.register('api', 8082, Tags=['v2'])
        self.assertEqual(self.registry.ids('api', 'tag=v2'), ['api-8082'])

    def test_nonsense_is_refused_with_a_reason(self):
        for body in b'', b'{', b'[]', b'{"Name": 7}', b'{"Name": "api", "Port": 99999}', b'{"Port": 1}':
            answer = self.registry.put('/v1/agent/service/register', body)
            self.assertEqual(answer.status, 400, (body, answer))
            self.assertTrue(answer.body, body)
        self.assertEqual(self.registry.get('/v1/nope').status, 404)
        self.assertEqual(self.registry.delete('/v1/agent/services').status, 405)

    def test_a_blocking_query_wakes_on_a_change_and_not_before(self):
        registry = self.registry
        registry.register('api', 8081)
        index = registry.get('/v1/health/service/api').headers['x-consul-index']
        unchanged = registry.get(f'/v1/health/service/api?index={index}&wait=100ms')
        self.assertEqual(unchanged.headers['x-consul-index'], index)
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(
            registry.get(f'/v1/health/service/api?index={index}&wait=60s', timeout=10)))
        waiter.start()
        self.addCleanup(waiter.join)
        registry.register('other', 9000)
        self.assertEqual(registry.get(f'/v1/health/service/api?index={index}&wait=50ms').headers['x-consul-index'], index)
        self.assertEqual(answers, [])
        registry.register('api', 8082)
        waiter.join(5)
        self.assertEqual(len(answers), 1, 'the query did not wake')
        self.assertEqual(len(answers[0].json()), 2)
        self.assertGreater(int(answers[0].headers['x-consul-index']), int(index))


class Checks(Scenario):
    def setUp(self):
        self.registry = Registry(self)

    def test_a_ttl_passes_while_it_is_renewed_and_expires(self):
        self.registry.register('api', 8081, check={'CheckID': 'beat', 'TTL': '400ms'})
        self.assertEqual(self.registry.status('api'), {'api-8081': 'critical'})
        for _ in range(3):
            self.assertEqual(self.registry.put('/v1/agent/check/pass/beat?note=fine').status, 200)
            self.assertEqual(self.registry.ids('api'), ['api-8081'])
        until(lambda: self.registry.status('api') == {'api-8081': 'critical'}, what='the expiry')
        self.assertEqual(self.registry.ids('api'), [])
        self.assertEqual(self.registry.put('/v1/agent/check/warn/beat').status, 200)
        self.assertEqual(self.registry.status('api'), {'api-8081': 'warning'})
        self.assertEqual(self.registry.put('/v1/agent/check/pass/nobody').status, 404)

    def test_an_http_check_follows_the_service(self):
        api = self.origin('api')
        self.registry.register('api', api.port, check={'HTTP': api.url + '/health', 'Interval': '1s', 'Timeout': '1s'})
        until(lambda: self.registry.ids('api'), what='passing')
        api.health_status = 500
        until(lambda: not self.registry.ids('api'), what='critical')
        check, = [check for check in self.registry.get('/v1/health/checks/api').json()]
        self.assertIn('500', check['Output'])
        api.health_status = 200
        until(lambda: self.registry.ids('api'), what='passing again')

    def test_a_tcp_check_finds_nobody_listening(self):
        api = self.origin('api')
        self.registry.register('api', api.port, check={'TCP': api.address, 'Interval': '1s', 'Timeout': '1s'})
        until(lambda: self.registry.ids('api'), what='passing')
        api.stop()
        until(lambda: not self.registry.ids('api'), what='critical')

    def test_what_stays_critical_is_deregistered(self):
        self.registry.register('api', free_port(), check={'TTL': '100ms', 'DeregisterCriticalServiceAfter': '1s'})
        self.assertEqual(len(self.registry.ids('api', '')), 1)
        until(lambda: not self.registry.ids('api', ''), deadline=20, what='the deregistration')

    def test_maintenance_takes_an_instance_out(self):
        service = self.registry.register('api', 8081)
        self.registry.put(f'/v1/agent/service/maintenance/{service}?enable=true&reason=works')
        self.assertEqual(self.registry.status('api'), {service: 'critical'})
        self.registry.put(f'/v1/agent/service/maintenance/{service}?enable=false')
        self.assertEqual(self.registry.ids('api'), [service])


class Keys(Scenario):
    def setUp(self):
        self.registry = Registry(self)

    def test_put_get_cas_list_delete(self):
        registry = self.registry
        for key, value in ('app/a', b'1'), ('app/b', b'\x00\xff'), ('other', b''):
            self.assertEqual(registry.put(f'/v1/kv/{key}', value).json(), True)
        self.assertEqual((registry.key('app/a'), registry.key('app/b'), registry.key('nothing')), (b'1', b'\x00\xff', None))
        self.assertEqual(registry.get('/v1/kv/app/b?raw').body, b'\x00\xff')
        self.assertEqual([row['Key'] for row in registry.get('/v1/kv/app/?recurse').json()], ['app/a', 'app/b'])
        self.assertEqual(registry.get('/v1/kv/?keys&separator=/').json(), ['app/', 'other'])
        index = registry.get('/v1/kv/app/a').json()[0]['ModifyIndex']
        self.assertEqual(registry.put(f'/v1/kv/app/a?cas={index}', b'2').json(), True)
        self.assertEqual(registry.put(f'/v1/kv/app/a?cas={index}', b'3').json(), False)
        self.assertEqual(registry.put('/v1/kv/app/a?cas=0', b'3').json(), False)
        self.assertEqual(registry.key('app/a'), b'2')
        self.assertEqual(registry.delete('/v1/kv/app/?recurse').json(), True)
        self.assertEqual((registry.key('app/a'), registry.key('app/b'), registry.key('other')), (None, None, b''))

    def test_a_blocking_query_does_not_delay_the_end(self):
        with RawClient(self.registry.port) as client:
            client.send(b'GET /v1/kv/nothing?index=1&wait=10m HTTP/1.1\r\nHost: localhost\r\n\r\n')
            self.assertEqual(self.registry.put('/v1/kv/other').status, 200)  # so the query has been read
            self.registry.process.send_signal(signal.SIGTERM)
            self.assertIn(b' 404 ', client.read_all(deadline=3))
        self.assertEqual(self.registry.process.wait(deadline=3), 0)

    def test_a_blocking_query_wakes_for_its_key(self):
        self.registry.put('/v1/kv/lamp', b'off')
        index = self.registry.get('/v1/kv/lamp').headers['x-consul-index']
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(self.registry.get(f'/v1/kv/lamp?index={index}&wait=60s', timeout=10)))
        waiter.start()
        self.addCleanup(waiter.join)
        self.registry.put('/v1/kv/lamp', b'on')
        waiter.join(5)
        self.assertEqual(base64.b64decode(answers[0].json()[0]['Value']), b'on')


class Peers(Scenario):
    """Clients that others wrote."""

    def test_curl(self):
        curl, registry = peer('curl'), Registry(self)

        def ask(*argv):
            return subprocess.run([curl, '-sS', '--fail', *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

        ask('-X', 'PUT', '-d', '{"Name": "api", "Port": 80}', f'{registry.url}/v1/agent/service/register')
        self.assertEqual(json.loads(ask(f'{registry.url}/v1/health/service/api?passing&pretty'))[0]['Service']['Port'], 80)
        self.assertEqual(ask('-T', '-', f'{registry.url}/v1/kv/empty'), 'true')
        self.assertIn('HTTP/1.1 200', ask('-I', f'{registry.url}/v1/catalog/services'))

    def test_python_consul(self):
        consul, registry = peer_module('consul'), Registry(self)
        client = consul.Consul(port=registry.port)
        self.assertTrue(client.agent.service.register('api', 'api-1', '127.0.0.1', 8081, ['v1'], consul.Check.ttl('10s')))
        self.assertEqual(client.health.service('api', passing=True)[1], [])
        # Its ttl_pass() and deregister() still ask with GET, which Consul refuses since 1.0.
        registry.put('/v1/agent/check/pass/service:api-1')
        index, entries = client.health.service('api', passing=True)
        self.assertEqual([(entry['Service']['ID'], entry['Service']['Tags']) for entry in entries], [('api-1', ['v1'])])
        self.assertEqual(client.health.service('api', index=index, wait='50ms')[0], index)
        self.assertIn('api', client.catalog.services()[1])
        self.assertEqual(client.catalog.service('api')[1][0]['ServicePort'], 8081)
        self.assertEqual(client.agent.checks()['service:api-1']['Status'], 'passing')
        self.assertTrue(client.kv.put('a/b', 'c'))
        self.assertEqual(client.kv.get('a/b')[1]['Value'], b'c')
        self.assertEqual(client.kv.get('a/', keys=True)[1], ['a/b'])
        self.assertIsNone(client.kv.get('nothing')[1])
        self.assertTrue(client.kv.delete('a', recurse=True))
        self.assertEqual(client.kv.get('a/', recurse=True)[1], None)


if __name__ == '__main__':
    unittest.main()
