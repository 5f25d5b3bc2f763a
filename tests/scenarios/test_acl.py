"""Access control of the embedded registry: over a restart, with a client of other people's making, and without a
secret in the log."""
import unittest

from harness import Scenario, binary, free_port, peer_module, run, wait_http
from calls import request

RULES = 'service "web" { policy = "write" } node_prefix "" { policy = "read" } key_prefix "cfg/" { policy = "read" }'


class GuardedRegistry:
    """`dpmesh registry --acl`, durable, denying by default."""

    def __init__(self, scenario, *more, port=None):
        self.port = port or free_port()
        self.url = f'http://127.0.0.1:{self.port}'
        self.process = scenario.start(
            binary('dpmesh'), 'registry', '--port', self.port, '--data-dir', scenario.dir / 'state', '--acl',
            '--acl-default-policy', 'deny', '--log-level', 'debug', *more)
        wait_http(f'{self.url}/v1/status/leader', process=self.process)

    def ask(self, method, path, body=None, token=None):
        return request(method, self.url + path, body=body, headers={'X-Consul-Token': token} if token else {})


class AccessControl(Scenario):
    def test_tokens_outlive_the_process_and_stay_out_of_its_log(self):
        registry = GuardedRegistry(self)
        management = registry.ask('PUT', '/v1/acl/bootstrap').json()['SecretID']
        self.assertEqual(registry.ask('PUT', '/v1/acl/policy', {'Name': 'web', 'Rules': RULES}, management).status, 200)
        token = registry.ask('PUT', '/v1/acl/token', {'Policies': [{'Name': 'web'}]}, management).json()
        secret = token['SecretID']
        self.assertEqual(registry.ask('PUT', '/v1/agent/service/register', {'Name': 'web'}, secret).status, 200)
        for file in (self.dir / 'state').iterdir():
            self.assertEqual(file.stat().st_mode & 0o077, 0, file)
        registry.process.kill()
        again = GuardedRegistry(self, port=registry.port)
        self.assertEqual(again.ask('PUT', '/v1/acl/bootstrap').status, 403)
        self.assertEqual(len(again.ask('GET', '/v1/health/service/web', token=secret).json()), 1)
        self.assertEqual(again.ask('GET', '/v1/health/service/web').json(), [])
        refused = again.ask('PUT', '/v1/agent/service/register', {'Name': 'api'}, secret)
        self.assertEqual(refused.status, 403)
        self.assertIn(token['AccessorID'], refused.text)
        self.assertEqual(again.ask('GET', '/v1/catalog/nodes', token='bogus').text, 'ACL not found')
        self.assertEqual(again.ask('DELETE', f"/v1/acl/token/{token['AccessorID']}", token=management).text, 'true')
        self.assertEqual(again.ask('GET', '/v1/catalog/nodes', token=secret).status, 403)
        again.process.stop()
        for log in self.dir.glob('*.log'):
            text = log.read_text()
            self.assertNotIn(secret, text)
            self.assertNotIn(management, text)

    def test_the_token_of_a_file_manages(self):
        path = self.write('token', 'from-the-file\n')
        registry = GuardedRegistry(self, '--acl-token-file', path)
        tokens = registry.ask('GET', '/v1/acl/tokens', token='from-the-file')
        self.assertEqual(len(tokens.json()), 2)
        self.assertNotIn('from-the-file', tokens.text)
        self.assertEqual(registry.ask('PUT', '/v1/acl/bootstrap').status, 403)
        failed = run(binary('dpmesh'), 'registry', '--dev', '--acl-token-file', path)
        self.assertEqual(failed.returncode, 2)

    def test_python_consul_with_a_token(self):
        consul = peer_module('consul')
        registry = GuardedRegistry(self)
        management = registry.ask('PUT', '/v1/acl/bootstrap').json()['SecretID']
        registry.ask('PUT', '/v1/acl/policy', {'Name': 'web', 'Rules': RULES}, management)
        secret = registry.ask('PUT', '/v1/acl/token', {'Policies': [{'Name': 'web'}]}, management).json()['SecretID']
        client = consul.Consul(port=registry.port, token=secret)
        self.assertTrue(client.agent.service.register('web', port=1))
        self.assertEqual(len(client.health.service('web')[1]), 1)
        with self.assertRaises(consul.ACLPermissionDenied):
            client.agent.service.register('api', port=1)
        with self.assertRaises(consul.ACLPermissionDenied):
            client.kv.put('cfg/a', 'x')
        self.assertEqual(consul.Consul(port=registry.port).health.service('web')[1], [])


if __name__ == '__main__':
    unittest.main()
