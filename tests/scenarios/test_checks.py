"""Every kind of health check against servers that no one here wrote: nginx, OpenSSL's s_server, python3-grpcio, Redis.

Run by the embedded registry where it can be told all of it, by the agent itself where it cannot (an authority of one's own, a
client certificate, a token, an expected answer).
"""
import pathlib
import socket
import subprocess
import unittest

from harness import Scenario, binary, free_port, get, peer, run, until

HERE = pathlib.Path(__file__).parent
TOKEN = 'hunter2-hunter2'
FAST = 'interval: 1s, timeout: 900ms, failures_before_critical: 1, successes_before_passing: 1'

CONFIG = """
registry: {{kind: embedded, exec_checks: {exec_checks}, embedded: {{port: {registry}, dns: {{enabled: false}}}}}}
admin: {{port: {admin}}}
listeners: []
register:
{registrations}
"""
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.key;
    ssl_client_certificate {dir}/ca.pem; ssl_verify_client on;
    location = /old {{ return 302 /up; }}
    location = /up {{
      if ($http_authorization != "Bearer {token}") {{ return 401 "who is $http_authorization"; }}
      return 200 "all is well";
    }}
  }}
}}
"""


class Checks(Scenario):
    def openssl(self, *arguments):
        subprocess.run([peer('openssl'), *map(str, arguments)], cwd=self.dir, check=True, capture_output=True)

    def certificates(self):
        """ca.pem, and signed by it server.pem for 127.0.0.1 and client.pem, each with its .key."""
        new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
        self.openssl('req', '-x509', *new_key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '2')
        for name, more in ('server', ['-addext', 'subjectAltName=IP:127.0.0.1']), ('client', []):
            self.openssl('req', '-x509', *new_key, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', f'{name}.key',
                         '-out', f'{name}.pem', '-subj', f'/CN={name}', '-days', '2',
                         '-addext', 'basicConstraints=critical,CA:FALSE', *more)

    def tls(self):
        return (f'tls: {{enabled: true, ca: {self.dir}/ca.pem, certificate: {self.dir}/client.pem, '
                f'private_key: {self.dir}/client.key}}')

    def agent(self, *registrations, exec_checks='false'):
        self.registry, self.admin = free_port(), free_port()
        lines = '\n'.join(f'  - {{name: {name}, host: 127.0.0.1, port: {port}, check: {{{check}, {FAST}}}}}'
                          for name, port, check in registrations)
        config = self.write('mesh.yaml', CONFIG.format(registry=self.registry, admin=self.admin, registrations=lines,
                                                       exec_checks=exec_checks))
        self.process = self.start(binary('dpmesh'), 'agent', '--dev', '--config', config,
                                  env={'CHECK_TOKEN': TOKEN})
        return self.process

    def check_of(self, name):
        """As the agent knows it now: the catalog gets an output alone minutes later."""
        checks = get(f'http://127.0.0.1:{self.registry}/v1/agent/checks').json()
        found = [check for check in checks.values() if check['ServiceName'] == name]
        return found[0] if found else {'Status': 'none', 'Output': ''}

    def becomes(self, name, status, output=''):
        """Waits until the check has that status and its output that text."""
        def is_so():
            try:
                check = self.check_of(name)
                has_run = status != 'critical' or check['Output'] != ''  # critical is where all begin
                return check['Status'] == status and output in check['Output'] and has_run
            except OSError:
                return False  # the agent is starting
        try:
            until(is_so, what=f'{name} {status}')
        except AssertionError:
            print(self.check_of(name))
            raise

    def grpc_server(self, *tls):
        port = free_port()
        status = self.write(f'serving-{port}', '1')
        peer('python3')  # Debian's, which has Debian's modules
        server = self.start('/usr/bin/python3', HERE / 'grpc_health_server.py', port, status, *tls)
        server.wait_log('ready')
        return port, lambda number: self.write(f'serving-{port}', number)

    def test_grpc_in_the_clear_and_over_mutual_tls(self):
        self.certificates()
        plain, say_plain = self.grpc_server()
        secure, say_secure = self.grpc_server(self.dir / 'server.pem', self.dir / 'server.key', self.dir / 'ca.pem')
        # A ttl of 3 s: what a check says that is run here is told every second.
        self.agent(('plain', plain, 'kind: grpc, grpc_service: shop.Cart'),
                   ('secure', secure, f'kind: grpc, {self.tls()}'),
                   ('stranger', secure, f'kind: grpc, tls: {{enabled: true, ca: {self.dir}/ca.pem}}, ttl: 3s'),
                   ('lost', plain, 'kind: grpc, grpc_service: shop.Lost'))
        self.becomes('plain', 'passing', 'SERVING')
        self.becomes('secure', 'passing')
        self.becomes('stranger', 'critical')
        self.becomes('lost', 'critical', 'NOT_FOUND')
        say_plain('2')
        say_secure('2')
        self.becomes('plain', 'critical', 'NOT_SERVING')
        self.becomes('secure', 'critical')
        say_plain('1')
        self.becomes('plain', 'passing')

    def test_the_command_line_announces_grpc_and_udp_checks(self):
        port, say = self.grpc_server()
        self.agent()

        def announce(name, port, *check):
            done = run(binary('dpmesh'), 'register', name, '--host', '127.0.0.1', '--port', port, '--check-interval', '1s', *check,
                       '--registry', f'127.0.0.1:{self.registry}')
            self.assertEqual(done.returncode, 0, done.stderr)

        self.process.wait_log('admin API')
        with socket.socket(type=socket.SOCK_DGRAM) as open_socket:
            open_socket.bind(('127.0.0.1', 0))
            announce('cart', port, '--check', 'grpc', '--check-grpc-service', 'shop.Cart')
            announce('lost', port, '--check', 'grpc', '--check-grpc-service', 'shop.Lost')
            announce('elsewhere', 9, '--check', 'grpc', '--check-target', f'127.0.0.1:{port}')
            announce('plain', port, '--check', 'grpc', '--check-tls')
            announce('here', open_socket.getsockname()[1], '--check', 'udp')
            announce('gone', free_port(), '--check', 'udp')
            for name in 'cart', 'elsewhere', 'here':
                self.becomes(name, 'passing')
            self.becomes('lost', 'critical', 'NOT_FOUND')
            self.becomes('plain', 'critical')
            self.becomes('gone', 'critical', 'refused')
        say('2')
        self.becomes('cart', 'critical', 'NOT_SERVING')

    def test_https_with_a_client_certificate_a_token_and_an_expected_answer(self):
        self.certificates()
        port = free_port()
        config = self.write('nginx.conf', NGINX.format(port=port, dir=self.dir, token=TOKEN))
        nginx = self.start(peer('nginx'), '-p', self.dir, '-c', config)
        page = 'kind: http, path: /old, expected_body: all is well, ' + self.tls()
        agent = self.agent(('web', port, page + ', bearer_token: "${env:CHECK_TOKEN}"'),
                           ('anonymous', port, page + ', ttl: 3s'),
                           ('plain', port, 'kind: http, path: /up'))
        self.becomes('web', 'passing')
        self.becomes('anonymous', 'critical')
        self.becomes('plain', 'critical')
        for path in '/v1/agent/checks', '/v1/agent/services', '/v1/health/state/any':
            self.assertNotIn(TOKEN, get(f'http://127.0.0.1:{self.registry}{path}').text)
        nginx.stop()
        self.becomes('web', 'critical')
        self.assertNotIn(TOKEN, agent.log())

    def test_https_of_openssl_without_verification(self):
        self.certificates()
        port = free_port()
        self.start(peer('openssl'), 's_server', '-accept', f'127.0.0.1:{port}', '-cert', self.dir / 'server.pem',
                   '-key', self.dir / 'server.key', '-www')
        self.agent(('unverified', port, 'kind: http, path: /, tls: {enabled: true, verify: false}'),
                   ('verified', port, 'kind: http, path: /, tls: {enabled: true}'))
        self.becomes('unverified', 'passing')
        self.becomes('verified', 'critical')

    def test_a_conversation_with_redis(self):
        port = free_port()
        self.start(peer('redis-server'), '--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', self.dir)
        self.agent(('cache', port, r'kind: tcp, send: "PING\r\n", expect: "+PONG"'),
                   ('other', port, r'kind: tcp, send: "PING\r\n", expect: "+PANG", ttl: 3s'))
        self.becomes('cache', 'passing')
        self.becomes('other', 'critical', '+PONG')

    def test_udp_is_alive_unless_the_kernel_says_that_nobody_listens(self):
        port, gone = free_port(), free_port()
        with socket.socket(type=socket.SOCK_DGRAM) as listener:
            listener.bind(('127.0.0.1', port))
            self.agent(('here', port, 'kind: udp'), ('gone', gone, 'kind: udp'),
                       ('asked', port, 'kind: udp, send: ping, expect: pong'))
            self.becomes('here', 'passing', f'UDP connect 127.0.0.1:{port}: Success')
            self.becomes('gone', 'critical', 'refused')
            self.becomes('asked', 'critical', 'has not come in time')
        self.becomes('here', 'critical', 'refused')

    def test_an_alias_is_as_healthy_as_the_other(self):
        port = free_port()
        redis = self.start(peer('redis-server'), '--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', self.dir)
        self.agent(('cache', port, 'kind: tcp'), ('front', 1, f'kind: alias, alias: cache-127.0.0.1-{port}'))
        self.becomes('front', 'passing', 'All checks passing.')
        redis.stop()
        self.becomes('front', 'critical', 'Aliased check')

    def test_programs_only_if_enabled_and_with_nothing_of_our_environment(self):
        flag = self.dir / 'up'
        flag.touch()
        script = f'test -f {flag} && test -z "$CHECK_TOKEN" && echo fine'
        program = f"kind: exec, command: [/bin/sh, -c, '{script}']"
        self.agent(('job', 1, program), exec_checks='true')
        self.becomes('job', 'passing', 'fine')
        flag.unlink()
        self.becomes('job', 'warning')

    def test_programs_are_off_by_default(self):
        agent = self.agent(('job', 1, 'kind: exec, command: [/bin/true]'))
        agent.wait_log('scripts are disabled')


if __name__ == '__main__':
    unittest.main()
