"""A real server behind the proxy: nginx, with the framings that a server of our own might never send."""
import http.client
import unittest

from agents import agent_before
from harness import RawClient, Scenario, free_port, get, peer, request, wait_http

CONFIG = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi; types {{ text/plain txt; }}
  server {{
    listen 127.0.0.1:{port}; root {root}; keepalive_requests 5;
    location = /ssi.txt {{ ssi on; ssi_types text/plain; }}
    location = /empty {{ return 204; }}
    location = /old {{ return 301 /file.txt; }}
    location = /gone {{ return 410 "gone\\n"; }}
    location /put/ {{ dav_methods PUT DELETE; client_max_body_size 10m; }}
  }}
}}
"""
FILE = bytes(range(256)) * 2000


class Nginx(Scenario):
    def setUp(self):
        program = peer('nginx')
        (self.dir / 'put').mkdir()
        (self.dir / 'file.txt').write_bytes(FILE)
        self.write('ssi.txt', 'a<!--# echo var="uri" -->z')
        self.port = free_port()
        config = self.write('nginx.conf', CONFIG.format(port=self.port, root=self.dir))
        nginx = self.start(program, '-p', self.dir, '-c', config)
        wait_http(f'http://127.0.0.1:{self.port}/file.txt', process=nginx)
        self.address = f'127.0.0.1:{self.port}'
        self.agent = agent_before(self, self)

    def both(self, method, path, **more):
        """The same request to nginx and through the mesh: status and body must be the same."""
        straight = request(method, f'http://{self.address}{path}', **more)
        through = request(method, self.agent.url + path, **more)
        self.assertEqual((through.status, through.body), (straight.status, straight.body))
        return straight, through

    def test_a_file_with_its_length(self):
        straight, through = self.both('GET', '/file.txt')
        self.assertEqual(through.body, FILE)
        for name in 'content-length', 'etag', 'last-modified', 'content-type', 'accept-ranges':
            self.assertEqual(through.headers[name], straight.headers[name], name)

    def test_chunks(self):
        straight, through = self.both('GET', '/ssi.txt')
        self.assertEqual(straight.headers['transfer-encoding'], 'chunked')
        self.assertEqual((through.text, through.headers['transfer-encoding']), ('a/ssi.txtz', 'chunked'))

    def test_chunks_for_a_caller_of_http_1_0(self):
        with RawClient(self.agent.port) as client:
            answer = client.send(b'GET /ssi.txt HTTP/1.0\r\n\r\n').read_all()
        head, body = answer.split(b'\r\n\r\n', 1)
        self.assertEqual(body, b'a/ssi.txtz')
        self.assertNotIn(b'transfer-encoding', head.lower())

    def test_head_has_the_length_and_no_body(self):
        _, through = self.both('HEAD', '/file.txt')
        self.assertEqual((through.headers['content-length'], through.body), (str(len(FILE)), b''))

    def test_304_and_204_have_no_body_and_keep_the_connection(self):
        etag = get(self.agent.url + '/file.txt').headers['etag']
        connection = http.client.HTTPConnection('127.0.0.1', self.agent.port, timeout=5)
        self.addCleanup(connection.close)
        for path, headers, status in (('/file.txt', {'If-None-Match': etag}, 304), ('/empty', {}, 204), ('/file.txt', {}, 200)):
            connection.request('GET', path, headers=headers)
            answer = connection.getresponse()
            self.assertEqual((answer.status, len(answer.read())), (status, len(FILE) if status == 200 else 0))
        self.assertEqual(self.agent.metric('mesh_listener_connections_total'), 2)

    def test_ranges_redirects_and_errors(self):
        straight, through = self.both('GET', '/file.txt', headers={'Range': 'bytes=10-19'})
        self.assertEqual((through.status, through.body), (206, FILE[10:20]))
        self.assertEqual(through.headers['content-range'], straight.headers['content-range'])
        _, through = self.both('GET', '/old', headers={'Host': 'mesh.example'})
        self.assertIn('/file.txt', through.headers['location'])
        self.both('GET', '/gone')
        self.both('GET', '/nothing')

    def test_uploads_chunked_and_not(self):
        piece = b'y' * 50_000
        self.assertEqual(request('PUT', self.agent.url + '/put/a', piece * 4).status, 201)
        self.assertEqual(request('PUT', self.agent.url + '/put/b', iter([piece] * 4)).status, 201)
        self.assertEqual((self.dir / 'put/a').read_bytes(), piece * 4)
        self.assertEqual((self.dir / 'put/b').read_bytes(), piece * 4)
        self.assertEqual(request('DELETE', self.agent.url + '/put/a').status, 204)

    def test_an_origin_that_ends_kept_connections_costs_nobody(self):
        connection = http.client.HTTPConnection('127.0.0.1', self.agent.port, timeout=5)
        self.addCleanup(connection.close)
        for i in range(30):  # nginx closes after every fifth
            connection.request('POST' if i % 2 else 'GET', '/gone')
            self.assertEqual(connection.getresponse().read(), b'gone\n')
        self.assertEqual(self.agent.metric('mesh_listener_connections_total'), 1)


if __name__ == '__main__':
    unittest.main()
