"""The embedded registry over HTTPS: curl, python3-consul, our own command line and an agent ask it, with and without certificates."""
import json
import signal
import subprocess
import unittest

from harness import Scenario, binary, free_port, get, peer, peer_module, run, until, wait_http

AGENT = """
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


class RegistryTls(Scenario):
    def setUp(self):
        self.openssl('req', '-x509', *self.new_key('ca'), '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '2')
        self.issue('server')
        self.issue('client')

    def openssl(self, *arguments):
        subprocess.run([peer('openssl'), *arguments], cwd=self.dir, check=True, capture_output=True)

    def new_key(self, name):
        return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key']

    def issue(self, name, signer='ca'):
        """NAME.pem and NAME.key, for this machine, signed by `signer`."""
        self.openssl('req', '-x509', '-CA', f'{signer}.pem', '-CAkey', f'{signer}.key', *self.new_key(name), '-out', f'{name}.pem',
                     '-subj', f'/CN={name}', '-days', '2', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost',
                     '-addext', 'basicConstraints=critical,CA:FALSE')

    def serve(self, *more):
        self.port = free_port()
        self.registry = self.start(binary('dpmesh'), 'registry', '--dev', '--no-dns', '--port', self.port,
                                   '--tls-certificate', self.dir / 'server.pem', '--tls-key', self.dir / 'server.key', *more)
        self.registry.wait_log('protocol=https')

    def curl(self, path, *more):
        """What curl exits with, and what it got."""
        done = run(peer('curl'), '-sS', '--max-time', '10', '--cacert', self.dir / 'ca.pem', *more, f'https://127.0.0.1:{self.port}{path}')
        return done.returncode, done.stdout

    def as_client(self):
        return '--cert', self.dir / 'client.pem', '--key', self.dir / 'client.key'

    def test_who_trusts_the_certificate_is_served_and_nothing_in_the_clear(self):
        self.serve()
        status, nodes = self.curl('/v1/catalog/nodes')
        self.assertEqual((status, len(json.loads(nodes))), (0, 1))
        value = self.write('value', 'x' * 300_000)
        self.assertEqual(self.curl('/v1/kv/a', '-X', 'PUT', '--data-binary', f'@{value}'), (0, 'true'))
        self.assertEqual(len(self.curl('/v1/kv/a?raw')[1]), 300_000)
        strangers = run(peer('curl'), '-sS', '--max-time', '10', f'https://127.0.0.1:{self.port}/v1/status/leader')
        self.assertEqual(strangers.returncode, 60, 'curl does not know the authority')
        plain = run(peer('curl'), '-sS', '--max-time', '10', f'http://127.0.0.1:{self.port}/v1/status/leader')
        self.assertNotEqual(plain.returncode, 0)
        self.registry.wait_log('a TLS handshake failed')

    def test_mutual_tls_with_python_consul_our_command_line_and_an_agent(self):
        self.serve('--tls-client-ca', self.dir / 'ca.pem')
        self.assertNotEqual(self.curl('/v1/status/leader')[0], 0, 'without a certificate')
        self.openssl('req', '-x509', *self.new_key('rogue'), '-out', 'rogue.pem', '-subj', '/CN=rogue', '-days', '2')
        self.issue('forged', signer='rogue')
        self.assertNotEqual(self.curl('/v1/status/leader', '--cert', self.dir / 'forged.pem', '--key', self.dir / 'forged.key')[0], 0)
        self.assertEqual(self.curl('/v1/status/leader', *self.as_client())[0], 0)

        consul = peer_module('consul')
        client = consul.Consul(port=self.port, scheme='https', verify=str(self.dir / 'ca.pem'),
                               cert=(str(self.dir / 'client.pem'), str(self.dir / 'client.key')))
        self.assertTrue(client.agent.service.register('web', service_id='by-python', port=81))
        index, services = client.catalog.services()
        self.assertIn('web', services)

        environment = {'CONSUL_HTTP_ADDR': f'127.0.0.1:{self.port}', 'CONSUL_HTTP_SSL': 'true', 'CONSUL_CACERT': str(self.dir / 'ca.pem'),
                       'CONSUL_CLIENT_CERT': str(self.dir / 'client.pem'), 'CONSUL_CLIENT_KEY': str(self.dir / 'client.key')}
        listed = run(binary('dpmesh'), 'services', env=environment)
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn('web', listed.stdout)

        admin = free_port()
        config = self.write('mesh.yaml', AGENT.format(registry=self.port, admin=admin, dir=self.dir, port=free_port()))
        agent = self.start(binary('dpmesh'), 'agent', '--config', config)
        wait_http(f'http://127.0.0.1:{admin}/live', process=agent)

        def ids():
            return {entry['Service']['ID'] for entry in client.health.service('web', passing=True)[1]}

        until(lambda: len(ids()) == 2, what='the agent has registered, and its blocking queries work')
        known = get(f'http://127.0.0.1:{admin}/endpoints').json()
        self.assertIn('web', json.dumps(known))

    def test_a_new_certificate_is_used_after_sighup_and_a_bad_one_is_not(self):
        self.serve()
        self.assertEqual(self.curl('/v1/status/leader')[0], 0)
        self.openssl('req', '-x509', *self.new_key('next'), '-out', 'next.pem', '-subj', '/CN=next', '-days', '2')
        self.issue('server', signer='next')
        self.registry.send_signal(signal.SIGHUP)
        self.registry.wait_log('the certificate was read again')
        self.assertEqual(self.curl('/v1/status/leader')[0], 60)
        self.assertEqual(self.curl('/v1/status/leader', '--cacert', self.dir / 'next.pem')[0], 0)
        self.write('server.pem', 'no certificate')
        self.registry.send_signal(signal.SIGHUP)
        self.registry.wait_log('the certificate is not used')
        self.assertEqual(self.curl('/v1/status/leader', '--cacert', self.dir / 'next.pem')[0], 0)

    def test_flags_that_make_no_sense_are_refused(self):
        certificate, key, nowhere = self.dir / 'server.pem', self.dir / 'server.key', self.dir / 'nowhere.pem'
        for flags in (['--tls-certificate', certificate], ['--tls-key', key], ['--tls-client-ca', self.dir / 'ca.pem'],
                      ['--tls-certificate', nowhere, '--tls-key', key], ['--tls-certificate', certificate, '--tls-key', self.dir / 'client.key']):
            done = run(binary('dpmesh'), 'registry', '--dev', '--no-dns', '--port', '0', *flags)
            self.assertNotEqual(done.returncode, 0, flags)


if __name__ == '__main__':
    unittest.main()
