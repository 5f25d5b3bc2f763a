"""TLS towards endpoints: nginx with certificates behind the mesh."""
import unittest

from agents import Agent
from certificates import Authority
from harness import Scenario, free_port, get, peer, until

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr info;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi; keepalive_timeout {keepalive}; ssl_session_tickets on; ssl_protocols {protocols};
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; {more}
    location / {{ return 200 "$ssl_protocol $ssl_server_name $ssl_session_reused $ssl_client_s_dn\\n"; }}
  }}
}}
"""
CONFIG = """
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
{top}
services: {{api: {{endpoints: ["127.0.0.1:{backend}"], {tls}}}}}
"""


class TlsUpstream(Scenario):
    def setUp(self):
        self.authority = Authority(self.dir)
        self.backend = free_port()

    def nginx(self, more='', keepalive='60s', protocols='TLSv1.3', names='DNS:api.mesh,IP:127.0.0.1'):
        certificate, key = self.authority.issue('backend', names)
        config = self.write('nginx.conf', NGINX.format(port=self.backend, certificate=certificate, key=key, more=more, keepalive=keepalive,
                                                       protocols=protocols))
        self.start(peer('nginx'), '-p', self.dir, '-c', config)

    def agent(self, tls, top=''):
        return Agent(self, CONFIG, backend=self.backend, tls=tls, top=top)

    def answer(self, agent, status=200):
        return until(lambda: (one := get(agent.url + '/')).status == status and one, what=f'answered {status}').text

    def test_the_endpoint_is_verified_and_asked_for_by_name(self):
        self.nginx()
        agent = self.agent(f'tls: {{enabled: true, ca: {self.authority.ca}, server_name: api.mesh}}')
        self.assertTrue(self.answer(agent).startswith('TLSv1.3 api.mesh . '), self.answer(agent))
        for _ in range(20):
            self.assertEqual(get(agent.url + '/').status, 200)
        self.assertEqual(agent.metric('mesh_upstream_connections_total'), 1, 'one connection carries them all')

    def test_an_address_will_do_if_the_certificate_has_it(self):
        self.nginx()
        agent = self.agent(f'tls: {{enabled: true, ca: {self.authority.ca}}}')
        self.assertTrue(self.answer(agent).startswith('TLSv1.3  . '))

    def test_a_certificate_for_another_name_or_of_another_authority_is_refused(self):
        self.nginx(names='DNS:other.mesh')
        stranger = Authority(self.dir, 'stranger')
        for tls, why in ((f'ca: {self.authority.ca}, server_name: api.mesh', 'mismatch'), (f'ca: {self.authority.ca}', 'mismatch'),
                         (f'ca: {stranger.ca}, server_name: other.mesh', 'issuer'), ('server_name: other.mesh', 'issuer')):
            agent = self.agent(f'tls: {{enabled: true, {tls}}}')
            answer = get(agent.url + '/')
            self.assertEqual((answer.status, answer.headers['x-mesh-reason']), (503, 'connect_failure'), answer.text)
            self.assertIn(why, answer.text)
            self.assertGreaterEqual(agent.metric('mesh_tls_upstream_handshakes_total', service='api', result='distrusted'), 1)
            agent.process.stop()

    def test_verification_can_be_switched_off_for_debugging(self):
        self.nginx(names='DNS:other.mesh')
        agent = self.agent('tls: {enabled: true, verify: false}')
        self.assertTrue(self.answer(agent).startswith('TLSv1.3'))

    def test_we_show_our_certificate_where_one_is_asked_for(self):
        self.nginx(more=f'ssl_client_certificate {self.authority.ca}; ssl_verify_client on;')
        certificate, key = self.authority.issue('mesh')
        agent = self.agent(f'tls: {{server_name: api.mesh}}', top=f'defaults: {{tls: {{enabled: true, ca: {self.authority.ca}, '
                           f'certificate: {certificate}, private_key: {key}}}}}')
        self.assertTrue(self.answer(agent).startswith('TLSv1.3 api.mesh . CN=mesh'), 'by defaults.tls, field by field')
        without = self.agent(f'tls: {{enabled: true, ca: {self.authority.ca}, server_name: api.mesh}}')
        self.assertEqual(get(without.url + '/').status, 400, 'nginx says so')

    def test_sessions_are_resumed(self):
        for protocols in 'TLSv1.2', 'TLSv1.3':
            self.backend = free_port()
            self.nginx(keepalive='0', protocols=protocols)
            agent = self.agent(f'tls: {{enabled: true, ca: {self.authority.ca}, server_name: api.mesh}}')
            self.assertTrue(self.answer(agent).startswith(f'{protocols} api.mesh . '))
            for _ in range(5):
                self.assertTrue(get(agent.url + '/').text.startswith(f'{protocols} api.mesh r '))
            self.assertEqual(agent.metric('mesh_tls_upstream_handshakes_total', result='resumed'), 5)


if __name__ == '__main__':
    unittest.main()
