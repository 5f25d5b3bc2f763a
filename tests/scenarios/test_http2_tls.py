"""HTTP/2 to endpoints behind TLS: nginx and gRPC servers of python3-grpcio, agreed on by ALPN."""
import pathlib
import re
import unittest

from agents import Agent
from certificates import Authority
from harness import Load, Scenario, free_port, get, peer, peer_module, until

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr info;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi; keepalive_requests {requests};
  server {{
    listen 127.0.0.1:{port} ssl {http2}; ssl_certificate {certificate}; ssl_certificate_key {key};
    location / {{ return 200 "$server_protocol $scheme $connection $http_te\\n"; }}
  }}
}}
"""
CONFIG = """
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
services: {{api: {{endpoints: ["127.0.0.1:{backend}"], tls: {{enabled: true, {tls}}}, policy: {{protocol: {protocol}, retry: {{attempts: 1}}}}}}}}
"""


class Http2Tls(Scenario):
    def setUp(self):
        self.authority = Authority(self.dir)
        self.certificate, self.key = self.authority.issue('backend')
        self.backend = free_port()

    def nginx(self, http2='http2', requests=1000):
        config = self.write('nginx.conf', NGINX.format(port=self.backend, certificate=self.certificate, key=self.key, http2=http2, requests=requests))
        self.start(peer('nginx'), '-p', self.dir, '-c', config)

    def agent(self, protocol='http2', tls=''):
        return Agent(self, CONFIG, backend=self.backend, tls=f'ca: {self.authority.ca}{tls}', protocol=protocol)

    def answer(self, agent):
        return until(lambda: (one := get(agent.url + '/')).status == 200 and one, what='answered').text

    def test_http2_is_agreed_on_and_one_connection_carries_all(self):
        self.nginx()
        agent = self.agent()
        self.assertRegex(self.answer(agent), r'^HTTP/2.0 https ')
        made = agent.metric('mesh_upstream_connections_total')
        with Load(agent.url + '/', threads=8) as load:
            load.wait(300)
        self.assertEqual(load.failures, {})
        self.assertEqual(agent.metric('mesh_upstream_connections_total'), made)
        self.assertEqual(agent.metric('mesh_tls_upstream_handshakes_total', service='api'), made)

    def test_an_endpoint_that_chooses_http1_is_spoken_to_in_it(self):
        self.nginx(http2='')
        agent = self.agent()
        self.assertRegex(self.answer(agent), r'^HTTP/1.1 https ')
        made = agent.metric('mesh_upstream_connections_total')
        connections = {re.split(' ', get(agent.url + '/').text)[2] for _ in range(20)}
        self.assertEqual((len(connections), agent.metric('mesh_upstream_connections_total')), (1, made), 'kept and used again')
        with Load(agent.url + '/', threads=8) as load:
            load.wait(300)
        self.assertEqual(load.failures, {})
        self.assertLessEqual(agent.metric('mesh_upstream_connections_total'), made + 8)

    def test_without_a_wish_it_is_http1(self):
        self.nginx()
        self.assertRegex(self.answer(self.agent(protocol='auto')), r'^HTTP/1.1 https ')

    def test_connections_that_end_and_certificates_that_change_cost_no_request(self):
        self.nginx(requests=20)  # then nginx says GOAWAY
        certificate, key = self.authority.issue('mesh')
        agent = self.agent(tls=f', certificate: {certificate}, private_key: {key}')
        self.answer(agent)
        with Load(agent.url + '/', threads=4) as load:
            for number in range(3):
                load.wait(100)
                self.authority.issue('mesh')
                until(lambda: agent.metric('mesh_tls_reloads_total', user='service api', result='ok') > number, what='read anew')
            load.wait(100)
        self.assertEqual(load.failures, {})
        self.assertGreaterEqual(agent.metric('mesh_upstream_connections_total'), 10)

    def test_grpc(self):
        grpc = peer_module('grpc')
        server = self.start('/usr/bin/python3', pathlib.Path(__file__).parent / 'grpc_echo_server.py', self.backend, 'one', self.certificate, self.key)
        server.wait_log('ready')
        agent = self.agent(protocol='auto')
        with grpc.insecure_channel(f'127.0.0.1:{agent.port}') as channel:
            for i in range(10):
                self.assertEqual(channel.unary_unary('/test.Echo/Unary')(b'm%d' % i, timeout=10), b'm%d' % i)
            self.assertEqual(channel.unary_unary('/test.Echo/Unary')(b'x' * 3_000_000, timeout=10), b'x' * 3_000_000)
            self.assertEqual(list(channel.unary_stream('/test.Echo/Down')(b'300', timeout=10)), [b'%d' % i for i in range(300)])
            with self.assertRaises(grpc.RpcError) as raised:
                channel.unary_unary('/test.Echo/Fail')(b'5', timeout=10)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(agent.metric('mesh_grpc_requests_total', method='/test.Echo/Unary', status='OK'), 11)
        self.assertEqual(agent.metric('mesh_upstream_connections_total'), 1)


if __name__ == '__main__':
    unittest.main()
