"""The admin API tells the truth to people, probes and Prometheus, and to nobody else."""
import datetime
import http.server
import subprocess
import threading
import unittest

from agents import Agent, agent_before
from harness import Load, Scenario, free_port, get, peer, put, request, until, wait_http


class Admin(Scenario):
    def setUp(self):
        self.good, self.bad = self.origin('good'), self.origin('bad', status=500)
        self.agent = agent_before(self, self.good, self.bad, policy='balance: {algorithm: round_robin}')
        self.url = f'http://127.0.0.1:{self.agent.admin}'

    def fail_enough(self):
        """Until the bad origin's breaker is open."""
        with Load(self.agent.url + '/') as load:
            until(lambda: self.agent.endpoints()[self.bad.address]['breaker'] == 'open')
        self.assertEqual(load.failures, {})

    def test_live_and_ready(self):
        self.assertEqual(self.agent.page('/live'), {'live': True})
        self.assertEqual(self.agent.page('/ready'), {'ready': True, 'reasons': []})

    def test_the_index_lists_every_page(self):
        index = get(self.url + '/').text
        for page in '/live', '/ready', '/config', '/endpoints', '/events', '/metrics':
            self.assertIn(page, index)
            self.assertEqual(get(self.url + page).status, 200)

    def test_endpoints_show_breaker_ejection_and_counts(self):
        self.fail_enough()
        good, bad = self.agent.endpoints()[self.good.address], self.agent.endpoints()[self.bad.address]
        self.assertEqual((good['breaker'], good['failures'], good['health']), ('closed', 0, 'passing'))
        self.assertGreater(good['successes'], 0)
        self.assertGreaterEqual(bad['failures'], 5)
        self.assertGreater(bad['next_probe_in_seconds'], 0)
        self.assertLessEqual(bad['ejected_for_seconds'], 30)
        self.assertIn('ejected_because', bad)

    def test_events_list_what_happened_and_why(self):
        self.fail_enough()
        events = until(lambda: [event for event in self.agent.page('/events') if event['endpoint'].endswith(str(self.bad.port))])
        self.assertTrue({'breaker open', 'ejected'} <= {event['what'] for event in events}, events)
        for event in events:
            self.assertEqual(event['service'], 'api')
            self.assertTrue(event['why'])
            age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(event['time'])
            self.assertLess(abs(age.total_seconds()), 60)

    def test_an_operator_holds_a_breaker_open_and_lets_go(self):
        def force(how, **where):
            query = '&'.join(f'{key}={value}' for key, value in {'service': 'api', 'force': how, **where}.items())
            return request('PUT', f'{self.url}/breaker?{query}')
        at = self.agent.endpoints()[self.good.address]
        self.assertEqual(force('open', endpoint=at['id']).status, 200)
        held = self.agent.endpoints()[self.good.address]
        self.assertEqual((held['breaker'], held['breaker_forced']), ('open', True))
        before = self.good.requests
        for _ in range(4):
            self.assertIn(get(self.agent.url + '/').status, (500, 503))  # only the bad one is left
        self.assertEqual(self.good.requests, before)
        until(lambda: self.agent.metric('mesh_breakers_forced', service='api') == 1)
        self.assertEqual(force('none', endpoint=at['id']).status, 200)
        until(lambda: get(self.agent.url + '/').status == 200)

        self.assertEqual(force('open').status, 200)
        refused = get(self.agent.url + '/')
        self.assertEqual((refused.status, refused.headers['x-mesh-reason']), (503, 'breaker_open'))
        self.assertIn('held open by an operator', refused.text)
        self.assertEqual(force('none').status, 200)
        until(lambda: get(self.agent.url + '/').status == 200)

        for status, query in (404, 'service=nobody&force=open'), (404, 'service=api&endpoint=nobody&force=open'), (400, 'service=api'), (400, 'force=maybe'):
            self.assertEqual(request('PUT', f'{self.url}/breaker?{query}').status, status, query)
        self.assertEqual(get(f'{self.url}/breaker?service=api&force=open').status, 405)

    def test_metrics_please_promtool(self):
        self.fail_enough()
        until(lambda: self.agent.metric('mesh_breaker_state', service='api') == 2)
        text = get(self.url + '/metrics').text
        done = subprocess.run([peer('promtool'), 'check', 'metrics'], input=text, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))

    def test_metrics_count_what_was_done(self):
        for _ in range(7):
            get(self.agent.url + '/')
        metric = self.agent.metric
        # A call is counted when its answer has gone out, which its caller may see first.
        until(lambda: metric('mesh_requests_total', service='api', code_class='2xx') == 7)
        self.assertEqual(metric('mesh_request_duration_seconds_count', service='api'), 7)
        self.assertEqual(metric('mesh_listener_connections_total', listener='web'), 7)
        self.assertEqual(metric('mesh_requests_in_flight', service='api'), 0)
        until(lambda: metric('mesh_attempts_total', service='api') == self.good.requests + self.bad.requests)
        until(lambda: metric('mesh_retries_total', service='api') == self.bad.requests)
        self.assertGreater(metric('process_resident_memory_bytes'), 1e6)

    def test_metrics_come_as_openmetrics_too(self):
        answer = get(self.url + '/metrics', headers={'Accept': 'application/openmetrics-text; version=1.0.0'})
        self.assertTrue(answer.headers['content-type'].startswith('application/openmetrics-text'))
        self.assertTrue(answer.text.endswith('# EOF\n'))

    def test_a_foreign_host_is_refused(self):
        for host in 'evil.example', f'evil.example:{self.agent.admin}', '127.0.0.1.evil.example', '10.0.0.1':
            self.assertEqual(get(self.url + '/endpoints', headers={'Host': host}).status, 403, host)
        for host in 'localhost', f'localhost:{self.agent.admin}', '127.0.0.1', '[::1]':
            self.assertEqual(get(self.url + '/endpoints', headers={'Host': host}).status, 200, host)

    def test_nothing_can_be_changed_by_asking(self):
        for method in 'POST', 'PUT', 'DELETE', 'PATCH':
            answer = request(method, self.url + '/endpoints', b'{}')
            self.assertEqual((answer.status, answer.headers['allow']), (405, 'GET, HEAD'))
        self.assertEqual(request('HEAD', self.url + '/endpoints').body, b'')
        self.assertEqual(get(self.url + '/nope').status, 404)
        self.assertEqual(get(self.url + '/endpoints').headers['cache-control'], 'no-store')

    def test_config_shows_what_is_in_force_and_where_it_came_from(self):
        text = get(self.url + '/config').text
        self.assertIn('round_robin', text)
        self.assertIn('mesh.yaml:', text)
        self.assertIn('default', text)


CONSUL = """
registry: {{kind: consul, consul: {{address: "127.0.0.1:{registry}"}}}}
admin: {{port: {admin}}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: known}}, {{service: late, path_prefix: /late}}]
"""

EMBEDDED = """
node: {{name: here, address: 10.1.2.3}}
registry: {{kind: embedded, embedded: {{port: {registry}, data_dir: "{data}"}}}}
admin: {{port: {admin}}}
"""


class HalfRegistry(http.server.BaseHTTPRequestHandler):
    """Says that nobody is there; about `late` only once it may."""
    may_answer = threading.Event()

    def do_GET(self):
        if '/late' in self.path:
            self.may_answer.wait(30)
        if 'index=' in self.path:
            self.may_answer.wait(30)
        self.send_response(200)
        self.send_header('X-Consul-Index', '7')
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'[]')

    def log_message(self, *_):
        pass


class Registry(Scenario):
    def test_the_embedded_one_has_the_name_and_address_of_the_node(self):
        port = free_port()
        Agent(self, EMBEDDED, registry=port, data=self.dir / 'data')
        put(f'http://127.0.0.1:{port}/v1/kv/any', b'x')
        nodes = get(f'http://127.0.0.1:{port}/v1/catalog/nodes').json()
        self.assertEqual([(node['Node'], node['Address']) for node in nodes], [('here', '10.1.2.3')])

    def test_not_ready_before_every_service_was_asked_for(self):
        port = free_port()
        agent = Agent(self, CONSUL, registry=port, ready=False)
        wait_http(f'http://127.0.0.1:{agent.admin}/live', process=agent.process)
        until(lambda: [event['what'] for event in agent.page('/events')] == ['registry fails'])
        self.assertEqual([reason['part'] for reason in agent.page('/ready')['reasons']], ['registry'])
        with http.server.ThreadingHTTPServer(('127.0.0.1', port), HalfRegistry) as registry:
            threading.Thread(target=registry.serve_forever, daemon=True).start()
            self.addCleanup(HalfRegistry.may_answer.set)
            until(lambda: [event['what'] for event in agent.page('/events')] == ['registry fails', 'registry answers'])
            reasons = until(lambda: [reason for reason in agent.page('/ready')['reasons'] if reason['part'] == 'discovery'])
            self.assertEqual(len(reasons), 1)
            self.assertIn('late', reasons[0]['why'])
            HalfRegistry.may_answer.set()
            until(lambda: agent.page('/ready')['ready'])
            registry.shutdown()


if __name__ == '__main__':
    unittest.main()
