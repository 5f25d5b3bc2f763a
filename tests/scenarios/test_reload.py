"""The configuration changes while requests run: none fails, and what is wrong changes nothing."""
import signal
import socket
import threading
import unittest

from agents import Agent
from calls import request
from certificates import Authority
from harness import Load, RawClient, Scenario, binary, free_port, get, run, until

BASE = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}{token}}}
workers: {workers}
drain_timeout: 3s
listeners:
  - {{name: web, port: {port}}}
{more}
"""


class Reload(Scenario):
    def begin(self, more, workers=2, token='', env=None):
        self.agent = Agent(self, BASE, more=more, workers=workers, token=token, env=env, ready=not token)
        self.workers, self.token = workers, token
        return self.agent

    def rewrite(self, more, workers=None):
        self.write('mesh.yaml', BASE.format(port=self.agent.port, admin=self.agent.admin, more=more,
                                            workers=workers or self.workers, token=self.token))

    def reload(self, query='', method='POST', **more):
        return request(method, f'http://127.0.0.1:{self.agent.admin}/config/reload{query}', **more)

    def version(self):
        return self.agent.page('/config')['version']

    def change(self, more):
        """Rewrites the file and reloads it; it must be taken."""
        self.rewrite(more)
        answer = self.reload()
        self.assertEqual((answer.status, answer.json()['result']), (200, 'applied'), answer.text)
        return answer.json()

    def service(self, *origins, name='api', policy=''):
        addresses = ', '.join(f'"{origin.address}"' for origin in origins)
        return f'{name}: {{endpoints: [{addresses}]' + (f', policy: {{{policy}}}' if policy else '') + '}'

    def test_a_hundred_reloads_under_load_fail_no_request(self):
        red, blue = self.origin('red'), self.origin('blue')
        extra = free_port()
        services = f'services: {{{self.service(red, name="red")}, {self.service(blue, name="blue")}}}'
        self.begin(f'routes: [{{service: red}}]\n{services}')
        until(lambda: get(self.agent.url).text == 'red')
        with Load(self.agent.url, threads=3) as kept, Load(self.agent.url, threads=1, fresh=True) as fresh:
            kept.wait(50)
            for number in range(100):
                to, attempts = ('blue', 2) if number % 2 == 0 else ('red', 3)
                listener = f'  - {{name: extra, port: {extra}}}\n' if number % 3 == 0 else ''
                once = f', {self.service(blue, name=f"once-{number % 7}")}' if number % 5 == 0 else ''
                self.change(f'{listener}routes: [{{service: {to}, timeout: {5 + number}s}}]\n'
                            f'defaults: {{policy: {{retry: {{attempts: {attempts}}}}}}}\n{services[:-1]}{once}}}')
            fresh.wait(20)
        self.assertEqual((kept.failures, fresh.failures), ({}, {}))
        self.assertEqual(kept.reconnects, 0, 'a connection was closed')
        self.assertGreater(min(kept.origins['red'], kept.origins['blue']), 20)
        self.assertEqual(self.version()['number'], 101)
        self.assertEqual(self.agent.metric('mesh_config_reloads_total', result='applied'), 100)
        self.assertEqual(self.agent.metric('mesh_config_version'), 101)

    def test_a_bad_file_changes_nothing_and_says_which_line(self):
        api = self.origin('api')
        good = f'routes: [{{service: api}}]\nservices: {{{self.service(api)}}}'
        self.begin(good)
        before = self.version()
        bad = {
            'routes: [{service: api, tmeout: 3s}]': 'mesh.yaml:9:',
            'routes: [{service: elsewhere}]': 'elsewhere',
            'routes: [': 'mesh.yaml:',
            f'  - {{name: other, port: {self.agent.admin}}}\n{good}': str(self.agent.admin),
        }
        with Load(self.agent.url, threads=2) as load:
            load.wait(20)
            for text, told in bad.items():
                self.rewrite(text if 'services' in text else f'{text}\nservices: {{{self.service(api)}}}')
                answer = self.reload()
                self.assertEqual((answer.status, answer.json()['result']), (422, 'refused'), text)
                self.assertIn(told, answer.json()['why'])
            load.wait(20)
        self.assertEqual(load.failures, {})
        self.assertEqual(self.version(), before)
        self.assertEqual(self.agent.metric('mesh_config_reloads_total', result='refused'), len(bad))
        self.assertIn('reload refused', self.agent.process.log_path.read_text())
        self.rewrite(good)
        self.assertEqual(self.reload().json()['result'], 'unchanged')

    def test_an_address_that_is_taken_is_opened_by_no_worker(self):
        api, taken = self.origin('api'), socket.create_server(('127.0.0.1', free_port()))
        self.addCleanup(taken.close)
        good = f'routes: [{{service: api}}]\nservices: {{{self.service(api)}, {self.service(api, name="b")}}}'
        self.begin(good)
        free = free_port()
        self.rewrite(f'  - {{name: one, port: {free}}}\n  - {{name: two, port: {taken.getsockname()[1]}}}\n{good}'.replace('service: api', 'service: b'))
        answer = self.reload()
        self.assertEqual(answer.status, 422)
        self.assertIn('listener two', answer.json()['why'])
        with self.assertRaises(ConnectionRefusedError):
            get(f'http://127.0.0.1:{free}/')
        self.assertEqual(self.agent.page('/config')['config']['routes'][0]['service'], 'api')

    def test_what_needs_a_restart_is_named_and_nothing_else_is_applied(self):
        api = self.origin('api')
        more = f'routes: [{{service: api}}]\nservices: {{{self.service(api)}}}'
        self.begin(more)
        self.rewrite(more.replace('service: api', 'service: api, timeout: 3s') + '\nnode: {name: other}\ndiscovery: {removal_share_max: 0.25}', workers=3)
        answer = self.reload()
        self.assertEqual(answer.status, 422)
        self.assertIn('discovery.removal_share_max, node.name, workers', answer.json()['why'])
        self.assertIn('--take-over', answer.json()['why'])
        self.assertEqual({change['key']: change['needs_restart'] for change in answer.json()['changes']},
                         {'discovery.removal_share_max': True, 'node.name': True, 'routes[0].timeout': False, 'workers': True})
        self.assertEqual(self.version()['number'], 1)

    def test_a_dry_run_and_the_commands_show_the_difference(self):
        api = self.origin('api')
        more = f'routes: [{{service: api}}]\nservices: {{{self.service(api)}}}'
        self.begin(more)
        at = ['--agent', f'127.0.0.1:{self.agent.admin}']
        self.rewrite(more + '\nlog: {level: debug}')
        for argv in ['config', 'diff'], ['reload', '--dry-run']:
            done = run(binary('dpmesh'), *argv, *at)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertRegex(done.stdout, r'(?m)^log\.level: info -> debug \(.*mesh\.yaml:11\)$')
            self.assertIn('would apply', done.stdout)
        self.assertEqual(self.reload('?dry_run=true').json()['result'], 'would apply')
        self.assertEqual(self.version()['number'], 1)
        done = run(binary('dpmesh'), 'reload', *at)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.version()['number'], 2)
        self.rewrite('nonsense: 1')
        done = run(binary('dpmesh'), 'reload', *at)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('nonsense: unknown key', done.stderr)

    def test_sighup_reloads(self):
        red, blue = self.origin('red'), self.origin('blue')
        services = f'services: {{{self.service(red, name="red")}, {self.service(blue, name="blue")}}}'
        self.begin(f'routes: [{{service: red}}]\n{services}')
        self.rewrite(f'routes: [{{service: blue}}]\n{services}')
        self.agent.process.send_signal(signal.SIGHUP)
        until(lambda: self.version()['number'] == 2)
        self.assertEqual(get(self.agent.url).text, 'blue')

    def test_requests_in_flight_keep_their_route_and_removed_listeners_drain(self):
        slow, fast = self.origin('slow', delay=1.0), self.origin('fast')
        port = free_port()
        services = f'{self.service(slow, name="slow")}, {self.service(fast, name="fast")}'
        self.begin(f'  - {{name: extra, port: {port}}}\nroutes: [{{service: slow}}]\nservices: {{{services}}}')
        clients = [RawClient(at) for at in (self.agent.port, port) for _ in range(5)]
        for client in clients:
            self.addCleanup(client.__exit__)
            client.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        until(lambda: slow.requests == 10)
        self.change(f'routes: [{{service: fast}}]\nservices: {{{self.service(fast, name="fast")}}}')
        self.assertEqual(get(self.agent.url).text, 'fast')
        with self.assertRaises(ConnectionRefusedError):
            RawClient(port)
        for client in clients:
            head = client.read_until(b'\r\n\r\n').lower()
            self.assertIn(b' 200 ', head)
            self.assertEqual(b'connection: close' in head, client in clients[5:])

    def test_a_listener_changes_its_nature_at_the_same_address(self):
        api = self.origin('api')
        authority = Authority(self.dir)
        certificate, key = authority.issue('web')
        more = f'routes: [{{service: api}}]\nservices: {{{self.service(api)}}}'
        self.begin(more)
        self.assertEqual(get(self.agent.url).text, 'api')
        text = (self.dir / 'mesh.yaml').read_text()
        plain = f'{{name: web, port: {self.agent.port}}}'
        secure = plain[:-1] + f', tls: {{certificates: [{{certificate: {certificate}, private_key: {key}}}]}}}}'
        for _ in range(3):
            self.write('mesh.yaml', text.replace(plain, secure))
            self.assertEqual(self.reload().status, 200)
            with self.assertRaises(Exception):
                get(self.agent.url)
            self.write('mesh.yaml', text.replace(plain, plain.replace('web', 'other')))
            self.assertEqual(self.reload().status, 200)
            self.assertEqual(get(self.agent.url).text, 'api')

    def test_policies_change_and_forget_nothing(self):
        bad, good = self.origin('bad', status=503), self.origin('good')
        breaker = 'outlier: {enabled: false}, breaker: {consecutive: 3, open_for: 1m}, balance: {algorithm: %s}'
        first, then = breaker % 'round_robin', breaker % 'least_request'
        routes = 'routes: [{service: api}]\n'
        self.begin(routes + f'services: {{{self.service(bad, good, policy=first)}}}', workers=1)
        until(lambda: (get(self.agent.url), self.agent.endpoints()[bad.address]['breaker'] == 'open')[1])
        calls = self.agent.endpoints()[good.address]['successes']
        self.change(routes + f'services: {{{self.service(bad, good, policy=then)}}}')
        seen = self.agent.endpoints()
        self.assertEqual((seen[bad.address]['breaker'], seen[good.address]['successes']), ('open', calls))
        self.change(routes + f'services: {{{self.service(good, policy=then)}}}')
        self.assertEqual(list(self.agent.endpoints()), [good.address])
        until(lambda: 'policy changed' in [event['what'] for event in self.agent.page('/events')])

    def test_a_secret_is_not_shown_and_a_page_from_elsewhere_may_not_reload(self):
        api = self.origin('api')
        more = f'routes: [{{service: api}}]\nservices: {{{self.service(api)}}}'
        self.begin(more, token=', token: "${env:TOKEN}"', env={'TOKEN': 'the-secret'})
        key = {'Authorization': 'Bearer the-secret'}
        until(lambda: self.answers())
        self.token = ', token: another-secret'
        self.rewrite(more)
        answer = self.reload(headers=key)
        self.assertEqual(answer.status, 422, answer.text)
        self.assertNotIn('secret', answer.text.replace('another <redacted>', ''))
        self.assertEqual(self.reload().status, 401)
        self.assertEqual(self.reload(headers=key | {'Origin': 'http://evil.example'}).status, 403)
        self.assertEqual(self.reload(headers=key, method='GET').status, 405)

    def answers(self):
        try:
            return self.reload(headers={}).status == 401
        except OSError:
            return False

    def test_reloads_at_the_same_time_do_not_mix(self):
        api = self.origin('api')
        more = f'routes: [{{service: api}}]\nservices: {{{self.service(api)}}}'
        self.begin(more)
        statuses = []
        self.rewrite(more + '\nlog: {level: debug}')
        threads = [threading.Thread(target=lambda: statuses.append(self.reload().status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(statuses), 8)
        self.assertLessEqual(set(statuses), {200, 409})
        self.assertEqual(self.version()['number'], 2)


if __name__ == '__main__':
    unittest.main()
