"""The embedded registry over HTTPS: curl, python3-consul, our own command line and an agent ask it, with and without certificates."""
import json
import signal
import unittest

from certificates import Authority
from harness import Scenario, binary, free_port, get, peer, peer_module, run, until, wait_http

CLIENT = """
registry:
  kind: consul
  consul:
    address: 127.0.0.1:{registry}
    tls: {{enabled: true, ca: {dir}/ca.pem, certificate: {dir}/client.pem, private_key: {dir}/client.key}}
admin: {{port: {admin}}}
listeners: []
services: {{web: {{}}}}
register:
  - {{name: web, host: 127.0.0.1, port: {port}, check: {{kind: ttl, ttl: 30s}}}}
"""
SERVER = """
registry:
  kind: embedded
  embedded:
    port: {registry}
    dns: {{enabled: false}}
    tls:
      certificates: [{{certificate: {dir}/server.pem, private_key: {dir}/server.key}}]
      client_ca: {dir}/ca.pem
admin: {{port: {admin}}}
listeners: []
register:
  - {{name: web, host: 127.0.0.1, port: {port}, check: {{kind: ttl, ttl: 30s}}}}
"""


class RegistryTls(Scenario):
    def setUp(self):
        self.authority = Authority(self.dir)
        self.server, self.client = self.authority.issue('server'), self.authority.issue('client')
        self.port = free_port()

    def serve(self, *more):
        certificate, key = self.server
        self.registry = self.start(binary('dpmesh'), 'registry', '--dev', '--no-dns', '--port', self.port,
                                   '--tls-certificate', certificate, '--tls-key', key, *more)
        self.registry.wait_log('protocol=https')

    def curl(self, path, *more, pair=None, ca=None):
        """What curl exits with, and what it got."""
        shown = ['--cert', pair[0], '--key', pair[1]] if pair else []
        done = run(peer('curl'), '-sS', '--max-time', '10', '--cacert', ca or self.authority.ca, *shown, *more,
                   f'https://127.0.0.1:{self.port}{path}')
        return done.returncode, done.stdout

    def python(self):
        return peer_module('consul').Consul(port=self.port, scheme='https', verify=str(self.authority.ca), cert=tuple(map(str, self.client)))

    def test_who_trusts_the_certificate_is_served_and_nothing_in_the_clear(self):
        self.serve()
        status, nodes = self.curl('/v1/catalog/nodes')
        self.assertEqual((status, len(json.loads(nodes))), (0, 1))
        value = self.write('value', 'x' * 300_000)
        self.assertEqual(self.curl('/v1/kv/a', '-X', 'PUT', '--data-binary', f'@{value}'), (0, 'true'))
        self.assertEqual(len(self.curl('/v1/kv/a?raw')[1]), 300_000)
        stranger = run(peer('curl'), '-sS', '--max-time', '10', f'https://127.0.0.1:{self.port}/v1/status/leader')
        self.assertEqual(stranger.returncode, 60, 'curl does not know the authority')
        plain = run(peer('curl'), '-sS', '--max-time', '10', f'http://127.0.0.1:{self.port}/v1/status/leader')
        self.assertNotEqual(plain.returncode, 0)
        self.registry.wait_log('a TLS handshake failed')

    def test_mutual_tls_with_python_consul_our_command_line_and_an_agent(self):
        self.serve('--tls-client-ca', self.authority.ca)
        self.assertNotEqual(self.curl('/v1/status/leader')[0], 0, 'without a certificate')
        rogue = Authority(self.dir, 'rogue').issue('forged')
        self.assertNotEqual(self.curl('/v1/status/leader', pair=rogue)[0], 0)
        self.assertEqual(self.curl('/v1/status/leader', pair=self.client)[0], 0)

        client = self.python()
        self.assertTrue(client.agent.service.register('web', service_id='by-python', port=81))
        self.assertIn('web', client.catalog.services()[1])

        certificate, key = self.client
        environment = {'CONSUL_HTTP_ADDR': f'127.0.0.1:{self.port}', 'CONSUL_HTTP_SSL': 'true', 'CONSUL_CACERT': str(self.authority.ca),
                       'CONSUL_CLIENT_CERT': str(certificate), 'CONSUL_CLIENT_KEY': str(key)}
        listed = run(binary('dpmesh'), 'services', env=environment)
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn('web', listed.stdout)

        admin = free_port()
        config = self.write('mesh.yaml', CLIENT.format(registry=self.port, admin=admin, dir=self.dir, port=free_port()))
        agent = self.start(binary('dpmesh'), 'agent', '--config', config)
        wait_http(f'http://127.0.0.1:{admin}/live', process=agent)

        def ids():
            return {entry['Service']['ID'] for entry in client.health.service('web', passing=True)[1]}

        until(lambda: len(ids()) == 2, what='the agent has registered')
        self.assertIn('web', get(f'http://127.0.0.1:{admin}/endpoints').text)

    def test_a_new_certificate_is_used_after_sighup_and_a_bad_one_is_not(self):
        self.serve()
        self.assertEqual(self.curl('/v1/status/leader')[0], 0)
        following = Authority(self.dir, 'next')
        following.issue('server')
        self.registry.send_signal(signal.SIGHUP)
        self.registry.wait_log('the certificate was read again')
        self.assertEqual(self.curl('/v1/status/leader')[0], 60)
        self.assertEqual(self.curl('/v1/status/leader', ca=following.ca)[0], 0)
        self.write('server.pem', 'no certificate')
        self.registry.send_signal(signal.SIGHUP)
        self.registry.wait_log('the certificate is not used')
        self.assertEqual(self.curl('/v1/status/leader', ca=following.ca)[0], 0)

    def test_the_registry_in_an_agent_follows_its_files(self):
        admin = free_port()
        config = self.write('mesh.yaml', SERVER.format(registry=self.port, admin=admin, dir=self.dir, port=free_port()))
        agent = self.start(binary('dpmesh'), 'agent', '--dev', '--config', config)
        wait_http(f'http://127.0.0.1:{admin}/live', process=agent)
        until(lambda: len(self.python().health.service('web', passing=True)[1]) == 1, what='its own registration')
        self.assertNotEqual(self.curl('/v1/status/leader')[0], 0, 'without a certificate')
        following = Authority(self.dir, 'next')
        following.issue('server')
        until(lambda: self.curl('/v1/status/leader', pair=self.client, ca=following.ca)[0] == 0, what='the new certificate')
        self.assertIn('mesh_tls_reloads_total{user="registry",result="ok"} 1', get(f'http://127.0.0.1:{admin}/metrics').text)

    def test_only_the_identities_that_are_allowed_get_in(self):
        admin = free_port()
        text = SERVER.format(registry=self.port, admin=admin, dir=self.dir, port=free_port())
        text = text.replace('      client_ca:', '      allow: ["spiffe://mesh.example/ops/*"]\n      client_ca:')
        agent = self.start(binary('dpmesh'), 'agent', '--dev', '--config', self.write('mesh.yaml', text))
        wait_http(f'http://127.0.0.1:{admin}/live', process=agent)
        status = ('-o', '/dev/null', '-w', '%{http_code}')
        for name, expected in ('ops/ann', '200'), ('web', '403'):
            pair = self.authority.issue(name.replace('/', '-'), f'URI:spiffe://mesh.example/{name}')
            until(lambda pair=pair, expected=expected: self.curl('/v1/catalog/nodes', *status, pair=pair) == (0, expected), what=f'{expected} for {name}')
        self.assertEqual(self.curl('/v1/catalog/nodes', *status, pair=self.client), (0, '403'), 'no identity')

    def test_what_makes_no_sense_is_refused(self):
        (certificate, key), nowhere = self.server, self.dir / 'nowhere.pem'
        for flags in (['--tls-certificate', certificate], ['--tls-key', key], ['--tls-client-ca', self.authority.ca],
                      ['--tls-certificate', nowhere, '--tls-key', key], ['--tls-certificate', certificate, '--tls-key', self.client[1]]):
            done = run(binary('dpmesh'), 'registry', '--dev', '--no-dns', '--port', '0', *flags)
            self.assertNotEqual(done.returncode, 0, flags)
        config = self.write('mesh.yaml', SERVER.format(registry=0, admin=0, dir=self.dir, port=1).replace('server.key', 'client.key'))
        done = run(binary('dpmesh'), 'validate', config)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('registry', done.stdout + done.stderr)


if __name__ == '__main__':
    unittest.main()
