"""A configuration is accepted as a whole or refused with every problem; nothing is guessed, no secret is shown."""
import json
import pathlib
import re
import socket
import unittest

from agents import CONFIG, Agent, agent_before
from harness import Scenario, binary, free_port, get, request, run

STATIC = """version: 1
registry: {kind: static}
"""
BAD = """version: 1
registry: {kind: static}
admin: {port: 99999, tokn: x}
listeners:
  - {name: web, port: eighty}
  - {name: web, port: 010}
services:
  api: {endpoints: ["127.0.0.1"]}
defaults: {policy: {deadline: 10, retry: {attempts: 0}}}
defaults: {}
"""


def dpmesh(*argv, **more):
    return run(binary('dpmesh'), *argv, **more)


class Validate(Scenario):
    def test_a_good_one_from_a_file_a_directory_and_standard_input(self):
        good = self.write('good.yaml', STATIC)
        (self.dir / 'conf.d').mkdir()
        self.write('conf.d/10-base.yaml', STATIC + 'workers: 2\n')
        self.write('conf.d/20-more.yaml', 'admin: {port: 19001}\nworkers: 3\n')
        self.write('conf.d/ignored.txt', 'nonsense')
        for argv, stdin in ([good], ''), ([self.dir / 'conf.d'], ''), (['-'], STATIC):
            with self.subTest(argv):
                done = dpmesh('validate', *argv, stdin=stdin)
                self.assertEqual((done.returncode, done.stdout), (0, 'The configuration is valid.\n'), done.stderr)

    def test_every_problem_in_one_message_with_its_line(self):
        bad = self.write('bad.yaml', BAD)
        done = dpmesh('validate', bad)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        for expected in (r':3:\d+: admin\.port: 99999 is out of range: must be 0\.\.65535',
                         r':3:\d+: admin\.tokn: unknown key \(did you mean "token"\?\)',
                         r':5:\d+: listeners\[0\]\.port: "eighty" is not a whole number',
                         r':6:\d+: listeners\[1\]\.port: "?010',
                         r':8:\d+: services\.api\.endpoints\[0\]: "127\.0\.0\.1" is not host:port \(write ',
                         r':9:\d+: defaults\.policy\.deadline: "10" is not a duration \(add a unit: 10s\?\)',
                         r':9:\d+: defaults\.policy\.retry\.attempts: 0 is out of range: must be 1\.\.10',
                         r':10:\d+: .*defaults'):
            self.assertRegex(done.stderr, f'(?m)^  {re.escape(str(bad))}{expected}')
        self.assertIn('8 problems', done.stderr.splitlines()[0])

    def test_the_agent_refuses_what_validate_refuses(self):
        bad = self.write('bad.yaml', BAD)
        done = dpmesh('agent', '--config', bad)
        self.assertEqual((done.returncode, done.stderr), (1, dpmesh('validate', bad).stderr))

    def test_what_does_not_fit_together(self):
        done = dpmesh('validate', '-', stdin=STATIC + """
listeners: [{name: web, port: 8080}, {name: web, port: 8081}, {name: in, port: 8080}]
routes: [{listener: wob, service: api}, {service: apo}]
services: {api: {endpoints: ["127.0.0.1:1"]}, Web: {endpoints: ["127.0.0.1:1"]}}
""")
        self.assertEqual(done.returncode, 1)
        self.assertIn('listeners[1].name: "web" is here twice', done.stderr)
        self.assertIn('port 8080 is taken by listeners[0].port', done.stderr)
        self.assertIn('there is no listener "wob" (did you mean "web"?)', done.stderr)
        self.assertIn('routes[1].service: services has no "apo"', done.stderr)
        self.assertIn("'W' at position 1 is not allowed", done.stderr)

    def test_what_no_agent_could_start_with(self):
        for listener, route, what in (('127.0.0.1', 'hosts: [a b]', '"a b" is no host'), ('127.0.0.1', 'methods: ["ge t"]', '"ge t"'),
                                      ('nonsense', 'hosts: []', 'nonsense')):
            config = self.write('mesh.yaml', STATIC + f"""
admin: {{port: {free_port()}}}
listeners: [{{name: web, address: {listener}, port: {free_port()}}}]
routes: [{{{route}, service: api}}]
services: {{api: {{endpoints: ["127.0.0.1:1"]}}}}
""")
            for command in ['validate', config], ['agent', '--config', config]:
                with self.subTest(command=command[0], what=what):
                    done = dpmesh(*command)
                    self.assertEqual(done.returncode, 1, done.stdout)
                    self.assertIn(what, done.stderr)

    def test_not_yaml_has_a_line(self):
        done = dpmesh('validate', '-', stdin='version: 1\nadmin: {port: 1\n')
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'stdin:[23]:')

    def test_anchors_and_tags_are_refused(self):
        for text in 'admin: &a {port: 1}\n', 'workers: !!int 1\n':
            self.assertEqual(dpmesh('validate', '-', stdin='version: 1\n' + text).returncode, 1, text)

    def test_a_file_that_is_not_there(self):
        done = dpmesh('validate', self.dir / 'nope.yaml')
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f'cannot read {self.dir}/nope.yaml', done.stderr)


class Environment(Scenario):
    def origins(self, env, page='/config'):
        """The effective configuration of an agent that was started with it."""
        return agent_before(self, self.origin('api'), env=env).page(page)

    def test_overrides_every_kind_of_key_and_says_where_from(self):
        config = self.origins({'MESH_WORKERS': '2', 'MESH_LISTENERS__0__IDLE_TIMEOUT': '7s',
                               'MESH_SERVICES__API__POLICY__RETRY__ATTEMPTS': '5', 'MESH_ROUTES__0__HOSTS': 'a.example,b.example'})
        text = str(config)
        for name in 'MESH_WORKERS', 'MESH_LISTENERS__0__IDLE_TIMEOUT', 'MESH_SERVICES__API__POLICY__RETRY__ATTEMPTS', 'a.example':
            self.assertIn(name, text)
        self.assertIn('mesh.yaml:', text)

    def test_a_variable_that_matches_nothing_is_refused_with_a_hint(self):
        for name, hint in ('MESH_ADMIN__PROT', 'MESH_ADMIN__PORT'), ('MESH_WORKER', 'MESH_WORKERS'), ('MESH_LISTENERS__9__PORT', ''):
            with self.subTest(name):
                done = dpmesh('validate', '-', stdin=STATIC, env={name: '1'})
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(name, done.stderr)
                self.assertIn(hint, done.stderr)

    def test_a_wrong_value_names_the_variable(self):
        done = dpmesh('validate', '-', stdin=STATIC, env={'MESH_ADMIN__PORT': 'high'})
        self.assertEqual(done.returncode, 1)
        self.assertIn('MESH_ADMIN__PORT', done.stderr)

    def test_mesh_config_says_which_file(self):
        done = dpmesh('agent', env={'MESH_CONFIG': str(self.write('bad.yaml', BAD))})
        self.assertEqual(done.returncode, 1)
        self.assertIn('bad.yaml:3:', done.stderr)


class Secrets(Scenario):
    CANARIES = {'env': 'canary-in-the-environment', 'file': 'canary-in-a-file', 'plain': 'canary-in-the-text'}

    def shown(self, agent, token):
        """Everything that the agent lets anyone see."""
        pages = [request('GET', f'http://127.0.0.1:{agent.admin}{page}', headers={'Authorization': f'Bearer {token}'}).text
                 for page in ('/', '/config', '/ready', '/live', '/endpoints', '/events', '/metrics')]
        self.assertIn('token', pages[1])
        agent.process.stop()
        return '\n'.join(pages) + agent.process.log()

    def test_are_used_and_never_shown_wherever_they_came_from(self):
        self.write('secret', self.CANARIES['file'] + '\n')
        for origin, written in (('env', '${env:TOKEN_HERE}'), ('file', '${file:%s}' % (self.dir / 'secret')),
                                ('plain', self.CANARIES['plain'])):
            with self.subTest(origin):
                text = CONFIG.replace('admin: {{port: {admin}}}', 'admin: {{port: {admin}, token: "{token}"}}')
                env = {'TOKEN_HERE': self.CANARIES['env']}
                api = self.origin('api')
                agent = Agent(self, text, env=env, ready=False, policy='', listener='', workers=1, top='log: {level: debug}',
                              endpoints=f'"{api.address}"', token=written)
                agent.process.wait_log('admin API')
                shown = self.shown(agent, self.CANARIES[origin])
                self.assertIn('mesh_build_info', shown)  # so the token did open the door
                for canary in self.CANARIES.values():
                    self.assertNotIn(canary, shown)

    def test_are_not_shown_by_an_override_or_by_a_problem(self):
        for env in {'MESH_ADMIN__TOKEN': 'canary-override'}, {'MESH_ADMIN__TOKN': 'canary-override'}:
            done = dpmesh('validate', '-', stdin=STATIC + 'registry: {consul: {token: [canary-in-the-text]}}\n', env=env)
            self.assertEqual(done.returncode, 1)
            self.assertNotIn('canary', done.stdout + done.stderr)
        done = dpmesh('validate', '-', stdin=STATIC + 'admin: {token: {a: canary-in-the-text}, tokn: canary-too}\n')
        self.assertNotIn('canary', done.stdout + done.stderr)

    def test_that_are_not_there_are_a_problem(self):
        for reference in '${env:NOBODY_HAS_THIS}', '${file:/nobody/has/this}':
            done = dpmesh('validate', '-', stdin=STATIC + f'admin: {{token: "{reference}"}}\n')
            self.assertEqual(done.returncode, 1, reference)
            self.assertRegex(done.stderr, r'stdin:3:\d+: admin\.token: .*(NOBODY_HAS_THIS|/nobody/has/this)')


class Start(Scenario):
    def refuses(self, agent, *what):
        self.assertEqual(agent.process.wait(), 1, agent.process.log())
        for words in what:
            self.assertIn(words, agent.process.log())

    def agent(self, top='', workers=1, env=None):
        return Agent(self, CONFIG, ready=False, policy='', listener='', workers=workers, top=top, endpoints='"127.0.0.1:1"', env=env)

    def test_a_port_in_use_is_said_with_its_listener(self):
        with socket.create_server(('127.0.0.1', free_port())) as taken:
            port = str(taken.getsockname()[1])
            for workers in 1, 2:
                with self.subTest(workers=workers):
                    self.refuses(self.agent(workers=workers, env={'MESH_LISTENERS__0__PORT': port}), 'listener web: ',
                                 f'127.0.0.1:{port}', 'in use')
            self.refuses(self.agent(env={'MESH_ADMIN__PORT': port}), 'admin: ', f'127.0.0.1:{port}', 'in use')

    def test_two_agents_of_two_workers_do_not_share_a_port_by_accident(self):
        first = agent_before(self, self.origin('api'), workers=2)
        second = self.agent(workers=2, env={'MESH_LISTENERS__0__PORT': str(first.port)})
        self.refuses(second, 'listener web: ', f'127.0.0.1:{first.port}', 'in use')
        self.assertEqual(get(first.url + '/').text, 'api')

    def test_an_admin_api_beyond_loopback_needs_a_token(self):
        done = dpmesh('validate', '-', stdin=STATIC + 'admin: {address: 0.0.0.0}\n')
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'stdin:3:\d+: admin\.\w+: .*token')
        self.assertEqual(dpmesh('validate', '-', stdin=STATIC + 'admin: {address: 0.0.0.0, token: x}\n').returncode, 0)

    def test_with_a_token_the_admin_api_asks_for_it(self):
        agent = self.agent(env={'MESH_ADMIN__TOKEN': 's3cret'})
        agent.process.wait_log('admin API')
        url = f'http://127.0.0.1:{agent.admin}/endpoints'
        self.assertEqual(get(url).status, 401)
        self.assertEqual(get(url).headers['www-authenticate'], 'Bearer')
        self.assertEqual(get(url, headers={'Authorization': 'Bearer s3creT'}).status, 401)
        self.assertEqual(get(url, headers={'Authorization': 'Basic s3cret'}).status, 401)
        self.assertEqual(get(url, headers={'Authorization': 'Bearer s3cret'}).status, 200)


class CommandLine(unittest.TestCase):
    OPTIONS = {'agent': ['--config', '--dev'], 'registry': ['--address', '--port', '--data-dir', '--dev', '--log-level'],
               'validate': ['config'], 'config schema': [], 'services': ['--registry', '--token', '--timeout-ms', '--output'],
               'endpoints': ['name', '--registry', '--output'], 'watch': ['name', '--registry', '--output'],
               'register': ['name', '--host', '--port', '--id', '--weight', '--tag', '--meta', '--check', '--check-path',
                            '--check-target', '--check-grpc-service', '--check-tls', '--check-interval', '--check-timeout', '--registry', '--output'],
               'deregister': ['id', '--registry'], 'version': ['--output']}

    def test_help_of_every_subcommand_names_its_options(self):
        overview = dpmesh('--help')
        self.assertEqual(overview.returncode, 0)
        for command, options in self.OPTIONS.items():
            with self.subTest(command):
                self.assertIn(f'  {command.split()[0]} ', overview.stdout)
                done = dpmesh(*command.split(), '--help')
                self.assertEqual((done.returncode, done.stderr), (0, ''))
                for option in options + ['Exit codes: 0 ok, 1 failed, 2 usage, 3']:
                    self.assertIn(option, done.stdout)

    def test_usage_errors_are_2_and_say_what_is_wrong(self):
        for argv, what in (([], 'subcommand'), (['nonsense'], 'nonsense'), (['agent'], '--config'), (['agent', '--nope'], '--nope'),
                           (['validate'], 'config'), (['endpoints'], 'name'), (['services', '-o', 'xml'], 'xml not in {table,json}'),
                           (['register', 'api', '--host', 'h', '--port', '0'], '0'),
                           (['register', 'API', '--host', 'h', '--port', '1'], "'A'"),
                           (['register', 'api', '--host', 'h', '--port', '1', '--meta', 'x'], 'key=value'),
                           (['register', 'api', '--host', 'h', '--port', '1', '--check-interval', '5'], '5'),
                           (['register', 'api', '--host', 'h', '--port', '1', '--check', 'icmp'], 'udp,grpc'),
                           (['register', 'api', '--host', 'h', '--port', '1', '--check-grpc-service', 'x'], 'no effect with --check http'),
                           (['register', 'api', '--host', 'h', '--port', '1', '--check', 'udp', '--check-tls'], 'no effect with --check udp'),
                           (['register', 'api', '--host', 'h', '--port', '1', '--check', 'none', '--check-target', 'h:1'],
                            'no effect with --check none'),
                           (['register', 'api', '--host', 'h', '--port', '1', '--check', 'tcp', '--check-target', 'h'], 'check.target')):
            with self.subTest(argv):
                done = dpmesh(*argv)
                self.assertEqual((done.returncode, done.stdout), (2, ''))
                self.assertIn(what, done.stderr)

    def test_a_registry_out_of_reach_is_3(self):
        done = dpmesh('services', '--registry', f'127.0.0.1:{free_port()}')
        self.assertEqual((done.returncode, done.stdout), (3, ''))
        self.assertIn('127.0.0.1:', done.stderr)

    def test_the_schema_and_the_version_are_machine_readable(self):
        schema = json.loads(dpmesh('config', 'schema').stdout)
        self.assertIn('listeners', schema['properties'])
        self.assertRegex(json.loads(dpmesh('version', '-o', 'json').stdout)['version'], r'^\d+\.\d+')

    def test_the_shipped_examples_are_valid(self):
        for path in sorted((pathlib.Path(__file__).parents[2] / 'examples').glob('*.yaml')):
            self.assertEqual(dpmesh('validate', path).stderr, '', path)


if __name__ == '__main__':
    unittest.main()
