"""TLS with callers: curl, openssl s_client and Python's ssl against a listener that has certificates."""
import json
import re
import socket
import ssl
import unittest

from agents import agent_before
from certificates import Authority
from harness import RawClient, Scenario, binary, peer, run, until

TLS = 'tls: {{certificates: [{certificates}]{more}}}'


def section(*pairs, more=''):
    files = ', '.join(f'{{certificate: {certificate}, private_key: {key}}}' for certificate, key in pairs)
    return TLS.format(certificates=files, more=more and ', ' + more)


class TlsListener(Scenario):
    def setUp(self):
        self.authority = Authority(self.dir)
        self.web = self.authority.issue('web')
        self.api = self.origin('api', body=b'y' * 99_999 + b'!')

    def agent(self, *pairs, more='', **knobs):
        agent = agent_before(self, self.api, listener=section(*(pairs or [self.web]), more=more), **knobs)
        agent.secure = f'https://localhost:{agent.port}'
        return agent

    def curl(self, agent, *more, path='/'):
        return run(peer('curl'), '-sS', '--max-time', '10', '--cacert', self.authority.ca, '--resolve', f'localhost:{agent.port}:127.0.0.1',
                   *more, agent.secure + path)

    def s_client(self, agent, *more):
        return run(peer('openssl'), 's_client', '-connect', f'127.0.0.1:{agent.port}', '-CAfile', self.authority.ca,
                   '-verify_return_error', '-ign_eof', *more, stdin='GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')

    def test_curl_speaks_both_versions_of_tls_and_of_http(self):
        agent = self.agent()
        for version, flags in (('TLSv1.3', ['--tlsv1.3']), ('TLSv1.2', ['--tls-max', '1.2'])):
            done = self.curl(agent, '-v', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', *flags)
            self.assertEqual(done.stdout, '200 100000', done.stderr)
            self.assertIn(f'SSL connection using {version}', done.stderr)
            self.assertIn('ALPN: server accepted h2', done.stderr)
        done = self.curl(agent, '-v', '--http1.1', '-o', '/dev/null', '-w', '%{http_code} %{http_version}')
        self.assertEqual(done.stdout, '200 1.1', done.stderr)
        self.assertIn('ALPN: server accepted http/1.1', done.stderr)
        self.assertEqual(agent.metric('mesh_tls_handshakes_total', listener='web', result='done'), 3)
        echo = json.loads(self.curl(agent, '--data-binary', '@' + str(self.write('up', 'z' * 300_000)), path='/echo').stdout)
        self.assertEqual(len(echo['body']), 300_000)
        headers = {name.lower(): value for name, value in echo['headers']}
        self.assertEqual(headers['x-forwarded-proto'], 'https')

    def test_old_versions_and_other_authorities_are_refused(self):
        agent = self.agent(more='min_version: "1.3"')
        self.assertNotEqual(self.curl(agent, '--tls-max', '1.2').returncode, 0)
        until(lambda: agent.metric('mesh_tls_handshakes_total', result='version') == 1, what='counted as version')
        stranger = Authority(self.dir, 'stranger')
        done = run(peer('curl'), '-sS', '--cacert', stranger.ca, f'https://127.0.0.1:{agent.port}/')
        self.assertEqual(done.returncode, 60, done.stderr)
        until(lambda: agent.metric('mesh_tls_handshakes_total', result='refused_by_peer') == 1, what='counted as refused_by_peer')
        self.assertEqual(self.api.requests, 0)

    def test_sessions_are_resumed_in_both_versions_and_by_every_worker(self):
        agent = self.agent(workers=2)
        for version, flag in (('TLSv1.3', '-tls1_3'), ('TLSv1.2', '-tls1_2')):
            ticket = self.dir / f'{version}.ticket'
            first = self.s_client(agent, flag, '-sess_out', ticket)
            self.assertIn(f'New, {version}', first.stdout)
            self.assertIn('HTTP/1.1 200', first.stdout)
            for _ in range(4):
                again = self.s_client(agent, flag, '-sess_in', ticket)
                self.assertIn(f'Reused, {version}', again.stdout)
                self.assertIn('HTTP/1.1 200', again.stdout)
        self.assertEqual(agent.metric('mesh_tls_handshakes_total', result='resumed'), 8)

    def test_each_name_has_its_certificate(self):
        other = self.authority.issue('other', 'DNS:other.example')
        wild = self.authority.issue('wild', 'DNS:*.wild.example')
        agent = self.agent(self.web, other, wild)
        for name, subject in (('other.example', 'other'), ('a.wild.example', 'wild'), ('unknown.example', 'web')):
            done = self.s_client(agent, '-servername', name)
            self.assertRegex(done.stdout, rf'subject=CN ?= ?{subject}\n')
        self.assertRegex(self.s_client(agent, '-noservername').stdout, r'subject=CN ?= ?web\n')

    def test_callers_must_show_a_certificate(self):
        agent = self.agent(more=f'client_ca: {self.authority.ca}')
        certificate, key = self.authority.issue('caller', 'URI:spiffe://mesh/caller')
        self.assertNotEqual(self.curl(agent).returncode, 0)
        until(lambda: agent.metric('mesh_tls_handshakes_total', result='no_certificate') == 1, what='counted as no_certificate')
        done = self.curl(agent, '--cert', certificate, '--key', key, '-o', '/dev/null', '-w', '%{http_code}')
        self.assertEqual(done.stdout, '200', done.stderr)
        other = Authority(self.dir, 'stranger').issue('strange')
        self.assertNotEqual(self.curl(agent, '--cert', other[0], '--key', other[1]).returncode, 0)
        until(lambda: agent.metric('mesh_tls_handshakes_total', result='distrusted') == 1, what='counted as distrusted')

    def test_callers_may_show_a_certificate(self):
        agent = self.agent(more=f'client_ca: {self.authority.ca}, client_certificate: optional')
        self.assertEqual(self.curl(agent, '-o', '/dev/null', '-w', '%{http_code}').stdout, '200')
        other = Authority(self.dir, 'stranger').issue('strange')
        self.assertNotEqual(self.curl(agent, '--cert', other[0], '--key', other[1]).returncode, 0)

    def test_failures_are_counted_by_reason_and_logged_without_a_flood(self):
        agent = self.agent(more='handshake_timeout: 300ms, handshakes_max: 3')
        with RawClient(agent.port) as plain:
            plain.send(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n').read_all()
        until(lambda: agent.metric('mesh_tls_handshakes_total', result='not_tls') == 1, what='counted as not_tls')
        silent = [socket.create_connection(('127.0.0.1', agent.port), 5) for _ in range(3)]
        until(lambda: agent.metric('mesh_listener_connections_open') == 3, what='three in their handshakes')
        try:
            with RawClient(agent.port) as fourth:
                self.assertEqual(fourth.read_all(), b'')
        except ConnectionResetError:
            pass  # it was reset before it knew that it was connected
        until(lambda: agent.metric('mesh_tls_handshakes_total', result='too_many') == 1, what='counted as too_many')
        for one in silent:
            one.recv(100)  # closed by the deadline
            one.close()
        until(lambda: agent.metric('mesh_tls_handshakes_total', result='timeout') == 3, what='counted as timeout')
        for _ in range(100):
            with RawClient(agent.port) as one:
                one.send(b'x' * 100)
                one.end().read_all()
        until(lambda: agent.metric('mesh_listener_connections_open') == 0, what='all closed')
        lines = [line for line in agent.process.log_path.read_text().splitlines() if 'TLS handshake failed' in line]
        self.assertLess(len(lines), 60)
        self.assertEqual(self.curl(agent, '-o', '/dev/null', '-w', '%{http_code}').stdout, '200')

    def test_what_cannot_be_used_is_told_at_the_start_with_file_and_reason(self):
        broken = self.write('broken.pem', 'no certificate\n')
        other = self.authority.issue('other')
        for pair, told in (((broken, self.web[1]), str(broken)), (('/no/such/file.pem', self.web[1]), '/no/such/file.pem'),
                           ((self.web[0], other[1]), 'does not fit')):
            config = self.write('bad.yaml', 'registry: {kind: static}\nservices: {a: {endpoints: ["127.0.0.1:1"]}}\nroutes: [{service: a}]\n'
                                f'listeners: [{{name: web, port: 0, tls: {{certificates: [{{certificate: {pair[0]}, private_key: {pair[1]}}}]}}}}]\n')
            for command in (['validate', config], ['agent', '--config', config]):
                done = run(binary('dpmesh'), *command)
                self.assertEqual(done.returncode, 1)
                self.assertIn('listener web', done.stderr)
                self.assertIn(told, done.stderr)
                self.assertNotIn('PRIVATE KEY', done.stderr)

    def test_kept_connections_pipelines_and_drain(self):
        agent = self.agent()
        context = ssl.create_default_context(cafile=self.authority.ca)
        with socket.create_connection(('127.0.0.1', agent.port), 5) as raw, context.wrap_socket(raw, server_hostname='localhost') as caller:
            caller.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n' * 20)
            data = b''
            while data.count(b'!') < 20:
                data += caller.recv(65536)
            self.assertEqual(len(re.findall(rb'HTTP/1.1 200', data)), 20)
            agent.process.stop()
            self.assertEqual(caller.recv(10), b'', 'an idle connection ends with close_notify')


if __name__ == '__main__':
    unittest.main()
