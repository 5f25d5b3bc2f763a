"""The registry of an agent fails in every way it can: calls go on, /metrics and the log say so, and it recovers without a restart."""
import contextlib
import http.server
import json
import signal
import threading
import unittest

from agents import Agent
from harness import Load, RawClient, Scenario, free_port, get, until, wait_http
from registries import Registry

CONFIG = """
version: 1
registry: {{kind: consul, consul: {{address: "{registry}", wait: 1s}}}}
admin: {{port: {admin}}}
discovery: {{removal_grace: 5s, reset_grace: 1s, cache_ttl: 2s}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
register: [{{name: web, host: 127.0.0.1, port: 1, id: web-1, check: {{kind: ttl, ttl: 3s}}}}]
"""


class Liar:
    """A proxy before the registry that passes on, or does with every request what `act` says."""

    def __init__(self, scenario, registry):
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *_):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                act = liar.act
                if act == 'hang':
                    liar.heal.wait(30)
                    self.close_connection = True
                    return
                if isinstance(act, int):
                    return self.answer(act, b'no luck', {'Retry-After': '1'} if act == 429 else {})
                call = {'GET': registry.get, 'PUT': lambda path: registry.put(path, body)}[self.command]
                told = call(self.path)
                index, text = told.headers.get('X-Consul-Index'), told.text.encode()
                if '/health/service/' in self.path:
                    if act == 'empty':
                        text = b'[]'
                    if act == 'backwards':
                        index = '1'
                self.answer(told.status, text, {'X-Consul-Index': index} if index else {})

            def answer(self, status, body, headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = handle_any

        self.act = None
        self.heal = threading.Event()
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # an agent that stops does not wait for its answer
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        scenario.addCleanup(self.stop)

    def stop(self):
        self.heal.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self):
        return f'127.0.0.1:{self.server.server_port}'

    @contextlib.contextmanager
    def doing(self, act):
        self.act = act
        yield
        self.act = None
        self.heal.set()


class Faults(Scenario):
    def setUp(self):
        self.registry = Registry(self)
        self.liar = Liar(self, self.registry)
        self.api = self.origin('api')
        self.registry.register('api', self.api.port)
        self.agent = Agent(self, CONFIG, registry=self.liar.address)
        wait_http(self.agent.url + '/')
        until(lambda: self.registry.ids('web') == ['web-1'], what='the registration')

    def recovers(self):
        other = self.origin('other')
        self.registry.register('api', other.port)
        until(lambda: len(self.agent.endpoints()) == 2, deadline=30, what='the new instance')
        until(lambda: self.registry.ids('web') == ['web-1'], deadline=30, what='the renewed registration')
        until(lambda: self.agent.metric('mesh_registry_up') == 1, what='mesh_registry_up 1')

    def survives(self, act):
        with self.liar.doing(act), Load(self.agent.url + '/') as load:
            until(lambda: self.agent.metric('mesh_registry_up') == 0, deadline=30, what='mesh_registry_up 0')
            self.agent.process.wait_log('the registry fails, serving what is known', deadline=30)
            load.wait(50)
        self.assertEqual(load.failures, {})
        self.recovers()

    def test_answers_500(self):
        self.survives(500)

    def test_answers_429(self):
        self.survives(429)

    def test_hangs(self):
        self.survives('hang')

    def test_lies_that_nobody_is_there_for_less_than_the_grace(self):
        self.liar.act = 'empty'
        until(lambda: self.agent.metric('mesh_discovery_removals_held_total') > 0, what='the answer that is held back')
        self.liar.act = None
        self.assertEqual(get(self.agent.url + '/').text, 'api')
        self.recovers()

    def test_its_index_goes_backwards(self):
        with self.liar.doing('backwards'), Load(self.agent.url + '/') as load:
            until(lambda: self.agent.metric('mesh_discovery_index_resets_total') > 0, deadline=20, what='an index that was reset')
            load.wait(50)
        self.assertEqual(load.failures, {})
        self.recovers()


class Restarts(Scenario):
    def test_down_at_the_start_then_dies_and_comes_back_empty(self):
        port = free_port()
        agent = Agent(self, CONFIG, registry=f'127.0.0.1:{port}', ready=False)
        agent.process.wait_log('not registered yet', deadline=30)
        registry = Registry(self, port=port)
        api = self.origin('api')
        registry.register('api', api.port)
        wait_http(agent.url + '/', process=agent.process, deadline=60)  # a breaker and a backoff have to end
        until(lambda: registry.ids('web') == ['web-1'], deadline=40, what='the registration')
        with Load(agent.url + '/') as load:
            registry.process.send_signal(signal.SIGKILL)
            registry.process.wait()
            until(lambda: agent.metric('mesh_registry_up') == 0, what='mesh_registry_up 0')
            empty = Registry(self, port=port)
            until(lambda: empty.ids('web') == ['web-1'], deadline=30, what='the registration made again')
            empty.register('api', api.port)
            load.wait(50)
        self.assertEqual(load.failures, {})


class Storm(Scenario):
    CONNECTIONS, EACH = 16, 625

    def test_ten_thousand_registrations_at_once_and_each_id_once(self):
        registry = Registry(self, self.dir / 'state')

        def add(first, answers):
            """All requests of a connection are under way at once; one in five is said twice."""
            with RawClient(registry.port, timeout=60) as client:
                for number in range(first, first + self.EACH):
                    body = json.dumps({'ID': f'storm-{number}', 'Name': 'storm', 'Address': '127.0.0.1', 'Port': 1 + number}).encode()
                    one = b'PUT /v1/agent/service/register HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)
                    client.send(one * (2 if number % 5 == 0 else 1))
                for _ in range(self.EACH * 6 // 5):
                    answers.append(client.read_until(b'\r\n\r\n'))

        answers = []
        threads = [threading.Thread(target=add, args=(number * self.EACH, answers)) for number in range(self.CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({answer.split(b'\r\n')[0] for answer in answers}, {b'HTTP/1.1 200 OK'})
        self.assertEqual(len(answers), 12_000)
        ids = [entry['Service']['ID'] for entry in json.loads(registry.get('/v1/health/service/storm').text)]
        self.assertEqual((len(ids), len(set(ids))), (10_000, 10_000))


if __name__ == '__main__':
    unittest.main()
