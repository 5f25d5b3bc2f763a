"""The routes of docs/routing.md do what the page says, for callers and endpoints that nobody here wrote."""
import unittest

from agents import Agent
from harness import Scenario, binary, free_port, peer, peer_module, run, until, wait_http
from routing import CONFIG, agent_with, examples, headings

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  {servers}
}}
"""
SERVER = 'server {{ listen 127.0.0.1:{port}; location / {{ add_header x-served-by {name}; return 200 "{name} $request_uri\\n"; }} }}'


class Place:
    def __init__(self):
        self.port = free_port()
        self.address = f'127.0.0.1:{self.port}'


def nginx_as(scenario, *names):
    """One nginx that is all of these services, each at a port of its own."""
    program = peer('nginx')
    places = {name: Place() for name in names}
    servers = '\n'.join(SERVER.format(port=place.port, name=name) for name, place in places.items())
    process = scenario.start(program, '-p', scenario.dir, '-c', scenario.write('nginx.conf', NGINX.format(servers=servers)))
    for place in places.values():
        wait_http(f'http://{place.address}/', process=process)
    return places


class Page(Scenario):
    def test_every_example_is_valid(self):
        self.assertGreater(len(headings()), 0)
        for heading in headings():
            for example in examples(heading):
                with self.subTest(heading):
                    done = run(binary('dpmesh'), 'validate', '-', stdin='listeners: [{name: web, port: 8080}]\n' + example)
                    self.assertEqual(done.returncode, 0, done.stderr)


class Curl(Scenario):
    """A scenario with an agent that curl asks, in HTTP/1.1 and HTTP/2."""

    def setUp(self):
        self.curl = peer('curl')

    def ask(self, path, *options, host='api.example'):
        done = run(self.curl, '-sS', '-w', '%{http_code}', '-H', f'Host: {host}', *options, self.agent.url + path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def head(self, path, *options, host='api.example'):
        """The status and the headers of an answer."""
        text = self.ask(path, '-o', '/dev/null', '-D', '-', *options, host=host)
        lines = [line.partition(': ') for line in text.split('\n')[1:-2]]
        return int(text[-3:]), {name.lower(): value for name, _, value in lines}


class Matches(Curl):
    def setUp(self):
        super().setUp()
        routes, = examples('What a route matches')
        self.agent = agent_with(self, routes, **nginx_as(self, 'web', 'api', 'admin', 'users', 'beta', 'test'))

    def test_lead_to_the_service_that_the_page_says(self):
        for http in (), ('--http2-prior-knowledge',):
            for wanted, path, *options in (
                    ('api', '/'), ('api', '/adminx'), ('admin', '/admin/x'), ('admin', '/admin'), ('web', '/health'),
                    ('api', '/health/x'), ('users', '/v12/users/7?q=1'), ('api', '/v/users/7'), ('api', '/v1/users'),
                    ('api', '/admin', '-XPUT'), ('beta', '/', '-H', 'X-Version: beta'), ('api', '/', '-H', 'X-Version: Beta'),
                    ('test', '/?mode=test', '-H', 'x-version: 1.2'), ('test', '/?a&m%6fde=%74est', '-H', 'x-version: 1.2'),
                    ('api', '/?mode=test', '-H', 'x-version: 1.2', '-H', 'x-internal: 1'), ('api', '/?mode=t', '-H', 'x-version: 1.2'),
                    ('api', '/?mode=test', '-H', 'x-version: 1.2.3')):
                with self.subTest(path=path, options=options, http=http):
                    self.assertEqual(self.ask(path, *options, *http), f'{wanted} {path}\n200')
            self.assertEqual(self.ask('/', *http, host='other.example'), 'web /\n200')


class Mistakes(Scenario):
    def test_are_told_with_their_place(self):
        done = run(binary('dpmesh'), 'validate', '-', stdin="""
routes:
  - {name: a, service: api, path_regex: "/x("}
  - {name: b, service: api, headers: [{name: x-a, exact: a, prefix: b}]}
  - {name: c, service: api, query: [{name: q, regx: a}]}
  - {name: d, path: /d}
""")
        self.assertEqual(done.returncode, 1)
        for line in (':3:41: routes[0].path_regex: is no regular expression of RE2: missing )',
                     ':4:39: routes[1].headers[0]: give one of exact, prefix and regex',
                     ':5:47: routes[2].query[0].regx: unknown key (did you mean "regex"?)', ':6:5: routes[3].service: is required, or split'):
            self.assertIn(line, done.stderr)
        done = run(binary('dpmesh'), 'validate', '-', stdin='routes: [{name: a, service: x}, {name: b, service: y}]')
        self.assertIn('1:9: routes: "a" and "b" match the same requests (path "/")', done.stderr)


class Splits(Curl):
    def setUp(self):
        super().setUp()
        places = nginx_as(self, 'one', 'two', 'blue', 'green')
        self.write('services.yaml', 'services:\n  shop:\n' + ''.join(
            f'    - {{host: 127.0.0.1, port: {places[name].port}, meta: {{version: "{version}"}}}}\n'
            for name, version in (('one', 1), ('two', 2))))
        routes, = examples('Weighted splits')
        self.agent = agent_with(self, routes, f'{{kind: file, file: {{path: {self.dir}/services.yaml}}}}',
                                blue=places['blue'], green=places['green'])

    def test_shares_subsets_and_sessions(self):
        def who(*options):
            return self.ask('/shop', *options, '-o', '/dev/null', '-D', '-').partition('x-served-by: ')[2].split()[0]

        self.assertEqual({who('-H', 'X-Canary: yes') for _ in range(5)}, {'two'})
        self.assertEqual({self.ask('/blue-green') for _ in range(5)}, {'green /blue-green\n200'})
        sessions = {i: who('-b', f'session={i}') for i in range(60)}
        self.assertEqual(set(sessions.values()), {'one', 'two'})
        self.assertLess(list(sessions.values()).count('two'), 20, 'one in ten')
        for i in range(0, 60, 7):
            self.assertEqual(who('-b', f'other=1; session={i}'), sessions[i])
        by_version = {name: self.agent.metric('mesh_requests_total', service=f'shop/version={name}') for name in '12'}
        self.assertEqual(sum(by_version.values()), 5 + 60 + 9)
        self.assertEqual(len(self.agent.page('/endpoints')['shop/version=2']['endpoints']), 1)

    def test_fixed_endpoints_have_metadata_too(self):
        one, two = (place.address for place in nginx_as(self, 'first', 'second').values())
        routes = "routes: [{service: shop, subset: {version: '2'}}, {path_prefix: /all, service: shop}]"
        services = 'shop: {{endpoints: ["{}", "{}"], endpoint_metadata: {{"{}": {{version: "{}"}}, "{}": {{version: "{}"}}}}}}'
        self.agent = Agent(self, CONFIG, routes=routes, registry='{kind: static}', services=services.format(one, two, one, 1, two, 2))
        self.assertEqual({self.ask('/') for _ in range(5)}, {'second /\n200'})
        self.assertEqual({self.ask('/all') for _ in range(5)}, {'first /all\n200', 'second /all\n200'})
        path = self.dir / 'mesh.yaml'
        path.write_text(path.read_text().replace('version: "1"', 'version: "3"').replace('version: "2"', 'version: "1"').replace('version: "3"', 'version: "2"'))
        done = run(binary('dpmesh'), 'reload', '--agent', f'127.0.0.1:{self.agent.admin}')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({self.ask('/') for _ in range(5)}, {'first /\n200'})


class Actions(Curl):
    def agent_for(self, heading):
        routes, = examples(heading)
        self.agent = agent_with(self, routes, web=nginx_as(self, 'web')['web'])

    def test_redirects_and_fixed_answers(self):
        routes, = examples('Redirects and fixed answers')
        self.agent = agent_with(self, routes)
        for http in ('--http1.1',), ('--http2-prior-knowledge',):
            for host, path, status, location in (
                    ('old.example', '/a?b=c', 301, 'https://new.example/a?b=c'), ('a:81', '/v1/x?y', 308, 'http://a:81/v2/x?y'),
                    ('a', '/?x=1', 302, 'http://a/index.html')):
                got, headers = self.head(path, *http, host=host)
                self.assertEqual((got, headers['location'], headers['x-mesh-reason']), (status, location, 'redirect'))
            self.assertEqual(self.ask('/robots.txt', *http), 'User-agent: *\nDisallow: /\n200')
            self.assertEqual(self.ask('/closed/x', *http, '-d', 'a body'), '{"closed": true}503')
            status, headers = self.head('/closed', *http)
            self.assertEqual((headers['retry-after'], headers['content-type'], headers['x-mesh-reason']),
                             ('120', 'application/json', 'direct_response'))
        self.assertEqual(self.agent.metric('mesh_route_actions_total', action='redirect'), 6)
        self.assertEqual(self.agent.metric('mesh_route_actions_total', action='direct_response', route='routes[4]'), 4)

    def test_rewrites_and_headers(self):
        origin = self.origin('web')
        routes, = examples('Rewrites and headers')
        self.agent = agent_with(self, routes, web=origin)
        for http in ('--http1.1',), ('--http2-prior-knowledge',):
            self.ask('/api/x?a=/api', *http)
            self.ask('/users/7/x?y=/users/8', *http)
            self.assertEqual([(path, headers['host']) for _, path, headers in origin.seen],
                             [('/x?a=/api', 'inner.example'), ('/u/7/x?y=/users/8', 'api.example')])
            status, answered = self.head('/edit', *http, '-H', 'X-Debug: 1', '-H', 'X-Team: b', '-H', 'X-Hop: me')
            sent = {name.lower(): value for name, value in origin.seen[-1][2].items()}
            self.assertEqual((status, sent['x-team'], 'x-debug' in sent), (200, 'a', False))
            self.assertEqual((answered['cache-control'], 'server' in answered), ('no-store', False))
            origin.seen.clear()

    def test_timeouts_retries_and_limits(self):
        origin = self.origin('web', delay=3)
        routes, = examples('Timeouts, retries, limits')
        self.agent = agent_with(self, routes, web=origin)
        self.assertEqual(self.head('/slow')[1]['x-mesh-reason'], 'deadline')
        self.assertEqual(origin.requests, 1)
        origin.delay = 0
        self.assertEqual(self.ask('/upload', '-d', 'x' * 1000), 'web200')
        # In HTTP/2 curl 7.88 fails at an answer that comes while it sends.
        status, headers = self.head('/upload', '-d', 'x' * 1001)
        self.assertEqual((status, headers['x-mesh-reason']), (413, 'body_too_large'))
        answers = [self.head('/rare', *(('--http2-prior-knowledge',) if i % 2 else ())) for i in range(7)]
        self.assertEqual([status for status, _ in answers], [200] * 5 + [429] * 2)
        self.assertEqual(answers[-1][1]['x-mesh-reason'], 'route_rate')
        self.assertGreater(int(answers[-1][1]['retry-after']), 600)

    def test_faults(self):
        self.agent_for('Faults')
        for http in ('--http1.1',), ('--http2-prior-knowledge',):
            self.assertGreaterEqual(float(self.ask('/late', *http, '-o', '/dev/null', '-w', '%{time_total} ').split()[0]), 0.4)
            status, headers = self.head('/broken', *http)
            self.assertEqual((status, headers['x-mesh-reason']), (429, 'fault'))
        answers = [self.ask('/sometimes', '-o', '/dev/null') for _ in range(40)]
        self.assertEqual(set(answers), {'200', '503'})
        self.assertEqual(self.agent.metric('mesh_route_actions_total', action='fault_abort', route='routes[2]'), answers.count('503'))

    def test_faults_for_a_caller_of_grpc(self):
        grpc = peer_module('grpc')
        self.agent_for('Faults')
        with grpc.insecure_channel(f'127.0.0.1:{self.agent.port}') as channel, self.assertRaises(grpc.RpcError) as raised:
            channel.unary_unary('/test.Echo/Unary')(b'x', timeout=10)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn(('x-mesh-reason', 'fault'), raised.exception.trailing_metadata())

    def test_mirrors(self):
        shadow = self.origin('shadow', delay=1)
        routes, = examples('Mirrors')
        self.agent = agent_with(self, routes, web=nginx_as(self, 'web')['web'], shadow=shadow)
        for http in ('--http1.1',), ('--http2-prior-knowledge',):
            self.assertEqual(self.ask('/copied?a=b', *http, '-d', 'a body'), 'web /copied?a=b\n200')
        until(lambda: shadow.requests == 2)
        for method, path, headers in shadow.seen:
            self.assertEqual((method, path, headers['host'], headers['content-length']), ('POST', '/copied?a=b', 'api.example', '6'))
        self.assertEqual(self.agent.metric('mesh_route_actions_total', action='mirror'), 2)

    def test_mirrors_of_bodies_that_are_still_coming(self):
        web, shadow = self.origin('web'), self.origin('shadow')
        routes, = examples('Mirrors')
        self.agent = agent_with(self, routes, web=web, shadow=shadow)
        for http in ('--http1.1',), ('--http2-prior-knowledge',):
            for size in 200_000, 300_000:
                body = self.write('body', 'x' * size)
                self.assertEqual(self.ask('/copied', *http, '-H', 'Expect:', '--data-binary', f'@{body}'), 'web200')
        until(lambda: shadow.requests == 2)
        self.assertEqual([headers['content-length'] for _, _, headers in shadow.seen], ['200000', '200000'])
        for action in 'mirror', 'mirror_skipped':
            self.assertEqual(self.agent.metric('mesh_route_actions_total', action=action), 2)

    def test_fallbacks(self):
        quotes, backup = self.origin('quotes'), self.origin('backup')
        routes, = examples('Fallbacks')
        self.agent = agent_with(self, routes, quotes=quotes, backup=backup)
        self.assertEqual(self.ask('/quotes'), 'quotes200')
        quotes.status = 503
        self.assertEqual(self.ask('/quotes', '--http2-prior-knowledge', '-d', 'x'), 'backup200')  # POST: asked once
        self.assertEqual(self.ask('/hints', '-d', 'x'), 'quotes503')
        quotes.stop()
        self.assertEqual(self.ask('/quotes', '-d', 'x'), 'backup200')
        for http in ('--http1.1',), ('--http2-prior-knowledge',):
            self.assertEqual(self.ask('/hints', *http), '[]200')
            self.assertEqual(self.head('/hints', *http)[1]['x-mesh-reason'], 'fallback')
        backup.stop()
        status, headers = self.head('/quotes')
        self.assertEqual(status, 503)
        self.assertIn(headers['x-mesh-reason'], ('connect_failure', 'no_endpoint'))  # its breakers may be open by now

    def test_pages_of_other_origins(self):
        self.agent_for('Pages of other origins (CORS)')
        for http in ('--http1.1',), ('--http2-prior-knowledge',):
            status, headers = self.head('/data', *http, '-XOPTIONS', '-H', 'Origin: https://x.b.example',
                                        '-H', 'Access-Control-Request-Method: PUT')
            self.assertEqual((status, headers['access-control-allow-origin'], headers['access-control-allow-credentials']),
                             (204, 'https://x.b.example', 'true'))
            self.assertEqual((headers['access-control-allow-methods'], headers['access-control-max-age']), ('GET, HEAD, POST, PUT', '600'))
            status, headers = self.head('/data', *http, '-XOPTIONS', '-H', 'Origin: https://evil.example',
                                        '-H', 'Access-Control-Request-Method: PUT')
            self.assertEqual((status, headers['x-mesh-reason'], 'access-control-allow-origin' in headers), (403, 'cors_refused', False))
            status, headers = self.head('/data', *http, '-H', 'Origin: https://a.example')
            self.assertEqual((status, headers['access-control-allow-origin'], headers['x-served-by']), (200, 'https://a.example', 'web'))


if __name__ == '__main__':
    unittest.main()
