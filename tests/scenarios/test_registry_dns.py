"""The registry's DNS as programs of other people's making use it: dig, nginx and HAProxy."""
import socket

from harness import Scenario, free_port, get, peer, request, run, until, wait_http
from registries import Registry

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  resolver 127.0.0.1:{dns} ipv6=off valid=1s; resolver_timeout 5s;
  server {{
    listen 127.0.0.1:{port};
    set $upstream hello.service.consul;
    location = /ready {{ return 200 "ready"; }}
    location / {{ proxy_pass http://$upstream:{origin}; }}
  }}
}}
"""
HAPROXY = """
global
  stats socket {dir}/haproxy.sock mode 600 level admin
resolvers mesh
  nameserver mesh 127.0.0.1:{dns}
  accepted_payload_size 8192
  resolve_retries 3
  timeout resolve 200ms
  timeout retry 200ms
  hold valid 200ms
  hold obsolete 200ms
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend in
  bind 127.0.0.1:{port}
  monitor-uri /ready
  default_backend hello
backend hello
  balance roundrobin
  option redispatch
  retries 3
  server-template s 6 _hello._tcp.service.consul resolvers mesh init-addr none
"""


class RegistryDns(Scenario):
    def setUp(self):
        self.registry = Registry(self, dns_port=free_port())

    def dig(self, *question):
        done = run(peer('dig'), '+time=5', '+tries=2', '@127.0.0.1', '-p', self.registry.dns_port, *question)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for complaint in 'malformed', 'WARNING: Message', 'Truncated, retrying', 'trailing garbage':
            self.assertNotIn(complaint, done.stdout)
        return done.stdout

    def short(self, *question):
        return sorted(self.dig('+short', *question).split('\n')[:-1])

    def test_dig_reads_every_kind_of_answer(self):
        self.registry.register('hello', 8080, Tags=['v1'], Weights={'Passing': 7, 'Warning': 1})
        self.registry.register('hello', 8081)
        self.registry.register('six', 1, Address='2001:db8::1')
        self.registry.register('named', 1, Address='host.example.org')
        self.assertEqual(self.short('hello.service.consul'), ['127.0.0.1'])
        self.assertEqual(self.short('hello.service.consul', 'SRV'),
                         ['1 1 8081 7f000001.addr.dc1.consul.', '1 7 8080 7f000001.addr.dc1.consul.'])
        self.assertEqual(self.short('v1.hello.service.consul', 'SRV'), ['1 7 8080 7f000001.addr.dc1.consul.'])
        self.assertEqual(self.short('_hello._tcp.service.consul', 'SRV', '+noedns'),
                         self.short('hello.service.consul', 'SRV', '+tcp'))
        self.assertEqual(self.short('7f000001.addr.dc1.consul'), ['127.0.0.1'])
        self.assertEqual(self.short('six.service.consul', 'AAAA'), ['2001:db8::1'])
        self.assertEqual(self.short('named.service.consul'), ['host.example.org.'])
        node = self.registry.get('/v1/agent/self').json()['Config']['NodeName']
        self.assertEqual(self.short(f'{node}.node.consul'), ['127.0.0.1'])
        self.assertEqual(self.short('consul', 'NS'), [f'{node}.node.dc1.consul.'])
        self.assertEqual(self.short('-x', '127.0.0.1'), [f'{node}.node.dc1.consul.'])
        self.assertIn('hostmaster.consul.', self.dig('consul', 'SOA', '+short'))
        for name, status in ('nope.service.consul', 'NXDOMAIN'), ('six.service.consul', 'NOERROR'), ('example.com', 'REFUSED'):
            self.assertIn(f'status: {status}', self.dig(name))
        for option in '+cookie', '+nsid', '+subnet=192.0.2.0/24', '+dnssec', '+noedns', '+bufsize=512':
            self.assertIn('127.0.0.1', self.dig('hello.service.consul', option), option)
        self.assertIn('BADVERS', self.dig('hello.service.consul', '+edns=1', '+noednsneg'))

    def test_many_instances_come_whole_by_tcp(self):
        for port in range(9001, 9081):
            self.registry.register('many', port)
        self.assertEqual(len(self.short('many.service.consul', 'SRV', '+noedns', '+ignore')), 3)
        self.assertEqual(len(self.short('many.service.consul', 'SRV', '+tcp')), 80)
        self.assertEqual(len(self.short('many.service.consul', 'SRV', '+bufsize=4096')), 80)

    def test_critical_instances_are_left_out_at_once(self):
        check = {'CheckID': 'beat', 'TTL': '10m', 'Status': 'passing'}
        self.registry.register('hello', 8080, check=check)
        self.assertEqual(self.short('hello.service.consul'), ['127.0.0.1'])
        self.assertEqual(self.registry.put('/v1/agent/check/fail/beat').status, 200)
        self.assertIn('NXDOMAIN', self.dig('hello.service.consul'))
        self.assertEqual(self.registry.put('/v1/agent/check/pass/beat').status, 200)
        self.assertEqual(self.short('hello.service.consul'), ['127.0.0.1'])

    def test_prepared_queries_have_names(self):
        self.registry.register('hello', 8080, Tags=['v1'])
        self.registry.register('hello', 8081, Tags=['v2'])
        body = {'Name': 'canary', 'Service': {'Service': 'hello', 'Tags': ['v2']}, 'DNS': {'TTL': '9s'}}
        made = request('POST', self.registry.url + '/v1/query', body=body).json()
        self.assertEqual(self.short('canary.query.consul', 'SRV'), ['1 1 8081 7f000001.addr.dc1.consul.'])
        self.assertEqual(self.short('CANARY.query.consul', '+tcp'), ['127.0.0.1'])
        self.assertRegex(self.dig('canary.query.consul'), r'canary\.query\.consul\.\s+9\s+IN\s+A\s+127\.0\.0\.1')
        self.assertEqual(self.registry.delete(f'/v1/query/{made["ID"]}').status, 200)
        self.assertIn('NXDOMAIN', self.dig('canary.query.consul'))

    def test_nonsense_and_dawdling_hurt_nobody(self):
        self.registry.register('hello', 8080)
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            for size in 0, 1, 11, 12, 13, 512, 9000:
                udp.sendto(b'\xc0' * size, ('127.0.0.1', self.registry.dns_port))
        slow = [socket.create_connection(('127.0.0.1', self.registry.dns_port)) for _ in range(50)]
        for connection in slow:
            connection.sendall(b'\x00')
        self.assertEqual(self.short('hello.service.consul', '+tcp'), ['127.0.0.1'])
        for connection in slow:
            connection.close()

    def test_nginx_resolves_through_it_and_follows(self):
        origin = self.origin('one')
        self.registry.register('hello', origin.port)
        port = free_port()
        config = self.write('nginx.conf', NGINX.format(dns=self.registry.dns_port, port=port, origin=origin.port))
        nginx = self.start(peer('nginx'), '-p', self.dir, '-c', config)
        wait_http(f'http://127.0.0.1:{port}/ready', process=nginx)
        url = f'http://127.0.0.1:{port}/'
        self.assertEqual(get(url).status, 200)
        self.assertEqual(self.registry.put(f'/v1/agent/service/deregister/hello-{origin.port}').status, 200)
        until(lambda: request('GET', url).status == 502, what='nginx sees that the service is gone')
        self.registry.register('hello', origin.port)
        until(lambda: request('GET', url).status == 200, what='nginx sees that it is back')

    def test_haproxy_fills_its_servers_from_it(self):
        origins = [self.origin(name) for name in ('one', 'two', 'three')]
        for origin in origins[:2]:
            self.registry.register('hello', origin.port)
        port = free_port()
        config = self.write('haproxy.cfg', HAPROXY.format(dns=self.registry.dns_port, port=port, dir=self.dir))
        haproxy = self.start(peer('haproxy'), '-db', '-f', config)
        wait_http(f'http://127.0.0.1:{port}/ready', process=haproxy)

        def used():
            """Which origins twelve requests reach; nothing while some fail."""
            answers = [request('GET', f'http://127.0.0.1:{port}/') for _ in range(12)]
            return {answer.text for answer in answers} if all(a.status == 200 for a in answers) else set()

        until(lambda: used() == {'one', 'two'}, what='HAProxy uses both')
        self.registry.register('hello', origins[2].port)
        until(lambda: used() == {'one', 'two', 'three'}, what='HAProxy uses the new one')
        self.assertEqual(self.registry.put(f'/v1/agent/service/deregister/hello-{origins[0].port}').status, 200)
        until(lambda: used() == {'two', 'three'}, what='HAProxy leaves out the one that went')
