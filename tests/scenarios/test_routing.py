"""The routes of docs/routing.md do what the page says, for callers and endpoints that nobody here wrote."""
import unittest

from harness import Scenario, binary, free_port, peer, run, wait_http
from routing import agent_with, examples, headings

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


class Matches(Scenario):
    def setUp(self):
        self.curl = peer('curl')
        routes, = examples('What a route matches')
        self.agent = agent_with(self, routes, **nginx_as(self, 'web', 'api', 'admin', 'users', 'beta', 'test'))

    def ask(self, path, *options, host='api.example'):
        done = run(self.curl, '-sS', '-w', '%{http_code}', '-H', f'Host: {host}', *options, self.agent.url + path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

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


if __name__ == '__main__':
    unittest.main()
