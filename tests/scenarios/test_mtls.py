"""Mutual TLS between sidecars with certificates of `dpmesh ca`: who may call, who is called, what endpoints are told."""
import http.client
import json
import ssl
import stat
import unittest

from agents import Agent
from harness import Scenario, binary, get, peer, request, run, until

INBOUND = """
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners:
  - name: inbound
    port: {port}
    access_log: true
    tls: {{certificates: [{{certificate: {ca}/api.pem, private_key: {ca}/api.key}}], client_ca: {ca}/ca.pem, {tls}}}
routes: [{{service: app}}]
services: {{app: {{endpoints: ["{origin}"]}}}}
"""
OUTBOUND = """
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners: [{{name: outbound, port: {port}}}]
routes: [{{service: api}}]
services:
  api:
    endpoints: ["127.0.0.1:{api}"]
    tls: {{enabled: true, ca: {ca}/ca.pem, certificate: {ca}/{who}.pem, private_key: {ca}/{who}.key, identities: [{identity}]}}
"""


class Mtls(Scenario):
    def setUp(self):
        self.ca = self.dir / 'ca'
        self.dpmesh('init', '--trust-domain', 'mesh.test')
        for name in 'api', 'web', 'batch':
            self.dpmesh('issue', name)
        self.app = self.origin('app')

    def dpmesh(self, command, *more, code=0):
        done = run(binary('dpmesh'), 'ca', command, '--dir', self.ca, *more)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def inbound(self, tls='allow: ["spiffe://mesh.test/web"]'):
        return Agent(self, INBOUND, name='inbound.yaml', ca=self.ca, origin=self.app.address, tls=tls)

    def outbound(self, inbound, who='web', identity='"spiffe://mesh.test/api"'):
        return Agent(self, OUTBOUND, name=f'{who}.yaml', ca=self.ca, api=inbound.port, who=who, identity=identity)

    def curl(self, agent, *more, who='web', path='/'):
        return run(peer('curl'), '-sS', '--insecure', '--cert', self.ca / f'{who}.pem', '--key', self.ca / f'{who}.key',
                   '-w', ' %{http_code}', *more, f'https://127.0.0.1:{agent.port}{path}')

    def test_two_sidecars_know_each_other_and_the_endpoint_learns_who_calls(self):
        inbound = self.inbound()
        outbound = self.outbound(inbound)
        forged = {'X-Forwarded-Client-Cert': 'URI=spiffe://mesh.test/admin'}
        echo = json.loads(get(outbound.url + '/echo', headers=forged).text)
        said = [value for name, value in echo['headers'] if name.lower() == 'x-forwarded-client-cert']
        self.assertEqual(len(said), 1, 'ours alone')
        self.assertRegex(said[0], r'^Hash=[0-9a-f]{64};Subject="CN=web";URI=spiffe://mesh.test/web$')
        plain = self.dir / 'der'
        run(peer('openssl'), 'x509', '-in', self.ca / 'web.pem', '-outform', 'DER', '-out', plain)
        digest = run(peer('openssl'), 'dgst', '-sha256', '-r', plain).stdout.split()[0]
        self.assertIn(f'Hash={digest};', said[0])
        until(lambda: 'identity=spiffe://mesh.test/web' in inbound.process.log_path.read_text(), what='the access log names the caller')

    def test_a_plain_listener_lets_nobody_say_who_he_is(self):
        plain = Agent(self, INBOUND.split('    tls:')[0] + 'routes: [{{service: app}}]\nservices: {{app: {{endpoints: ["{origin}"]}}}}\n',
                      ca=self.ca, origin=self.app.address, tls='')
        for forged in 'x-forwarded-client-cert', 'X_Forwarded-Client_Cert':
            echo = json.loads(get(plain.url + '/echo', headers={forged: 'URI=spiffe://mesh.test/admin'}).text)
            self.assertNotIn('admin', json.dumps(echo['headers']))

    def test_others_are_refused_with_a_reason(self):
        inbound = self.inbound()
        self.assertIn('x-mesh-reason: not_allowed', self.curl(inbound, '-i', who='batch').stdout)
        answer = get(self.outbound(inbound, 'batch').url + '/')
        self.assertEqual(answer.status, 403)
        self.assertIn('spiffe://mesh.test/batch may not call here', answer.text)
        self.assertEqual(self.app.requests, 0)
        self.assertEqual(inbound.metric('mesh_requests_rejected_total', reason='not_allowed'), 2)

    def test_who_is_no_longer_allowed_is_refused_on_the_connection_it_has(self):
        inbound = self.inbound('allow: ["spiffe://mesh.test/web"]')
        trust = ssl.create_default_context(cafile=self.ca / 'ca.pem')
        trust.check_hostname = False
        trust.load_cert_chain(self.ca / 'web.pem', self.ca / 'web.key')
        kept = http.client.HTTPSConnection('127.0.0.1', inbound.port, context=trust, timeout=10)
        self.addCleanup(kept.close)

        def status():
            kept.request('GET', '/')
            answer = kept.getresponse()
            answer.read()
            return answer.status

        self.assertEqual(status(), 200)
        opened = kept.sock
        for allowed, expected in ('batch', 403), ('web', 200):
            self.write('inbound.yaml', INBOUND.format(port=inbound.port, admin=inbound.admin, ca=self.ca, origin=self.app.address,
                                                      tls=f'allow: ["spiffe://mesh.test/{allowed}"]'))
            self.assertEqual(request('POST', f'http://127.0.0.1:{inbound.admin}/config/reload').json()['result'], 'applied')
            self.assertEqual(status(), expected)
        self.assertIs(kept.sock, opened)

    def test_all_below_a_prefix_may_be_allowed_and_strangers_not(self):
        self.dpmesh('issue', 'prod/web')
        self.dpmesh('issue', 'production/web')
        inbound = self.inbound('client_certificate: optional, allow: ["spiffe://mesh.test/prod/*"]')
        self.assertTrue(self.curl(inbound, who='prod-web').stdout.endswith(' 200'))
        self.assertTrue(self.curl(inbound, who='production-web').stdout.endswith(' 403'))
        anonymous = run(peer('curl'), '-sS', '--insecure', f'https://127.0.0.1:{inbound.port}/')
        self.assertIn('has not proved an identity', anonymous.stdout)

    def test_an_endpoint_that_is_somebody_else_is_not_called(self):
        inbound = self.inbound()
        answer = get(self.outbound(inbound, identity='"spiffe://mesh.test/other"').url + '/')
        self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (503, 'connect_failure'))
        self.assertEqual(self.app.requests, 0)
        both = self.outbound(inbound, identity='"spiffe://mesh.test/other", "spiffe://mesh.test/api"')
        self.assertEqual(get(both.url + '/').status, 200)

    def test_an_expired_certificate_is_refused_also_with_a_session_of_when_it_was_good(self):
        inbound = self.inbound()
        self.dpmesh('issue', 'web', '--life', '3s')
        ticket = self.dir / 'ticket'
        ask = [peer('openssl'), 's_client', '-connect', f'127.0.0.1:{inbound.port}', '-ign_eof', '-cert', self.ca / 'web.pem', '-key', self.ca / 'web.key']
        request = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
        first = run(*ask, '-sess_out', ticket, stdin=request)
        self.assertIn('HTTP/1.1 200', first.stdout)
        self.assertIn('Reused', run(*ask, '-sess_in', ticket, stdin=request).stdout)
        expired = [peer('openssl'), 'x509', '-in', self.ca / 'web.pem', '-noout', '-checkend', '0']
        until(lambda: run(*expired).returncode == 1, what='expired')
        self.assertNotIn('HTTP/1.1 200', run(*ask, stdin=request).stdout)
        self.assertNotIn('HTTP/1.1 200', run(*ask, '-sess_in', ticket, stdin=request).stdout)
        self.assertEqual(inbound.metric('mesh_tls_handshakes_total', result='distrusted'), 2)


class Authority(Scenario):
    def ca(self, *argv, code=0):
        done = run(binary('dpmesh'), 'ca', *argv)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_openssl_agrees_and_keys_are_for_their_owner(self):
        ca = self.dir / 'some' / 'ca'
        self.ca('init', '--dir', ca)
        self.ca('issue', 'prod/web', '--dir', ca, '--dns', 'web.example', '--ip', '127.0.0.1', '--life', '1h', '--out', self.dir / 'web')
        verified = run(peer('openssl'), 'verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', ca / 'ca.pem', self.dir / 'web.pem')
        self.assertEqual(verified.returncode, 0, verified.stderr)
        text = run(peer('openssl'), 'x509', '-in', self.dir / 'web.pem', '-noout', '-text').stdout
        self.assertIn('URI:spiffe://mesh.example/prod/web, DNS:web.example, IP Address:127.0.0.1', text)
        self.assertIn('CA:FALSE', text)
        self.assertIn('prime256v1', text)
        for path in ca / 'ca.key', self.dir / 'web.key':
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_an_authority_is_never_replaced_and_mistakes_are_told(self):
        ca = self.dir / 'ca'
        self.assertIn('dpmesh ca init', self.ca('issue', 'web', '--dir', ca, code=1).stderr)
        self.ca('init', '--dir', ca)
        before = (ca / 'ca.key').read_bytes()
        self.assertIn('it stays', self.ca('init', '--dir', ca, code=1).stderr)
        self.assertEqual((ca / 'ca.key').read_bytes(), before)
        self.ca('init', '--dir', self.dir / 'b', '--trust-domain', 'No Domain', code=2)
        self.ca('issue', '../web', '--dir', ca, code=2)
        self.ca('issue', 'ca', '--dir', ca, code=1)
        self.ca('issue', 'web', '--dir', ca, '--dns', 'a,URI:spiffe://mesh.example/admin', code=1)
        self.ca('issue', 'web', '--dir', ca, '--life', 'soon', code=1)
        self.assertIn('--trust-domain', self.ca('init', '--help').stdout)

    def test_a_listener_that_allows_needs_to_know_who_calls(self):
        config = self.write('bad.yaml', 'registry: {kind: static}\nservices: {a: {endpoints: ["127.0.0.1:1"], tls: {enabled: true, identities: [nobody]}}}\n'
                            'routes: [{service: a}]\nlisteners: [{name: web, port: 0, tls: {certificates: [{certificate: a, private_key: b}], '
                            'allow: ["spiffe://x/*", "everybody"]}}]\n')
        done = run(binary('dpmesh'), 'validate', config)
        self.assertEqual(done.returncode, 1)
        for told in 'needs client_ca', 'allow[1]', 'identities[0]':
            self.assertIn(told, done.stderr)


if __name__ == '__main__':
    unittest.main()
