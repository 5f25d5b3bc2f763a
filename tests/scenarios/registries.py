"""The embedded registry alone, and its Consul API as tests ask it."""
import base64

from calls import request, wait_http
from programs import binary, free_port


class Registry:
    """`dpmesh registry` on a port of its own: in memory, or durable in a folder of the test. Ready when made."""

    def __init__(self, scenario, data_dir=None, port=None, under=(), dns_port=None, more=()):
        self.port = port or free_port()
        where = ['--data-dir', data_dir] if data_dir else ['--dev']
        self.dns_port = dns_port
        where += ['--dns-port', dns_port] if dns_port else ['--no-dns']
        self.process = scenario.start(*under, binary('dpmesh'), 'registry', '--port', self.port, *where, *more)
        wait_http(f'{self.url}/v1/status/leader', process=self.process)

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    @property
    def url(self):
        return f'http://{self.address}'

    def get(self, path, **more):
        return request('GET', self.url + path, **more)

    def put(self, path, body=b'', **more):
        return request('PUT', self.url + path, body=body, **more)

    def delete(self, path):
        return request('DELETE', self.url + path)

    def register(self, name, port, check=None, **more):
        body = {'Name': name, 'ID': f'{name}-{port}', 'Address': '127.0.0.1', 'Port': port, **more}
        answer = self.put('/v1/agent/service/register', body | ({'Check': check} if check else {}))
        assert answer.status == 200, answer
        return body['ID']

    def ids(self, name, query='passing'):
        """Of the instances that /v1/health/service lists."""
        return [entry['Service']['ID'] for entry in self.get(f'/v1/health/service/{name}?{query}').json()]

    def status(self, name):
        """The worst check of each instance."""
        order = ['passing', 'warning', 'critical']
        return {entry['Service']['ID']: max((check['Status'] for check in entry['Checks']), key=order.index)
                for entry in self.get(f'/v1/health/service/{name}').json()}

    def key(self, key):
        """The value, or None."""
        answer = self.get(f'/v1/kv/{key}')
        return base64.b64decode(answer.json()[0]['Value'] or '') if answer.status == 200 else None
