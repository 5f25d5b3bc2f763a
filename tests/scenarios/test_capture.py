"""Connections that the kernel leads to the mesh instead of where they were meant to go, in a network namespace of their own:
packaging/nft/capture.nft as it is shipped, and callers that know nothing of it."""
import ctypes
import grp
import os
import re
import socket
import unittest

from agents import Agent
from calls import request
from harness import ROOT, Scenario, free_port, peer, run, until
from tcp_peers import TcpServer

CLONE_NEWNET = 0x40000000
OURS, OTHER, OURS6, OTHER6 = '10.9.8.1', '10.9.8.7', 'fd09::1', 'fd09::7'
CONFIG = """
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners:
  - {{name: web, port: {port}, capture: {{enabled: true{more}}}}}
  - {{name: web6, address: "::1", port: {port}, capture: {{enabled: true{more}}}}}
  - {{name: any, protocol: tcp, port: {tcp}, access_log: true, capture: {{enabled: true{more}, destinations: [{{addresses: ["10.9.8.7/32", "fd09::/16"], ports: [5432], service: db}}]}}}}
  - {{name: any6, address: "::1", protocol: tcp, port: {tcp}, capture: {{enabled: true{more}, destinations: [{{addresses: ["fd09::/16"], ports: [5432], service: db}}]}}}}
routes: [{{hosts: [api.mesh], methods: [GET], service: api}}]
services:
  api: {{endpoints: ["127.0.0.1:{api}"]}}
  db: {{endpoints: ["127.0.0.1:{db}"]}}
"""


libc = ctypes.CDLL(None, use_errno=True)
before = os.open('/proc/self/ns/net', os.O_RDONLY)


def tearDownModule():
    libc.setns(before, CLONE_NEWNET)


def setUpModule():
    """This thread, and what it starts, moves to a namespace with a loopback interface and nothing else."""
    if libc.unshare(CLONE_NEWNET) != 0:
        raise unittest.SkipTest(f'no network namespace can be made here: {os.strerror(ctypes.get_errno())}')
    for command in ('link set lo up', f'addr add {OURS}/32 dev lo', f'addr add {OTHER}/32 dev lo',
                    f'-6 addr add {OURS6}/128 dev lo nodad', f'-6 addr add {OTHER6}/128 dev lo nodad'):
        done = run(peer('ip'), *command.split())
        assert done.returncode == 0, done.stderr


class Capture(Scenario):
    def setUp(self):
        self.api, self.tcp = self.origin('api'), free_port()
        self.db = self.tcp_server(greeting=b'db\n')
        self.group = max(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid < 60000) + 7

    def tcp_server(self, **knobs):
        server = TcpServer(**knobs)
        self.addCleanup(server.stop)
        return server

    def agent(self, more='', grouped=True):
        start = self.start
        if grouped:  # only the agent
            group = [peer('setpriv'), '--regid', str(self.group), '--clear-groups']
            self.start = lambda *argv, **how: start(*group, *argv, **how)
        try:
            agent = Agent(self, CONFIG, tcp=self.tcp, api=self.api.port, db=self.db.port, more=more)
        finally:
            self.start = start
        self.rules(agent.port)
        return agent

    def rules(self, http_port):
        text = (ROOT / 'packaging/nft/capture.nft').read_text()
        for name, value in (('mesh_group', self.group), ('http_port', http_port), ('tcp_port', self.tcp)):
            text, count = re.subn(rf'(?m)^define {name} = .*$', f'define {name} = {value}', text)
            self.assertEqual(count, 1)
        done = run(peer('nft'), '-f', self.write('capture.nft', text))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(run, peer('nft'), 'delete', 'table', 'inet', 'dpmesh_capture')

    def connect(self, address, port):
        raw = socket.create_connection((address, port), 5)
        self.addCleanup(raw.close)
        return raw

    def listen(self, address, port, answer):
        """A server at an address that the mesh has never heard of."""
        server = TcpServer(greeting=answer, host=address, port=port)
        self.addCleanup(server.stop)
        return server

    def http(self, address, host, method='GET'):
        raw = self.connect(address, 80)
        raw.sendall(f'{method} / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'.encode())
        answer = b''
        while piece := raw.recv(65536):
            answer += piece
        return answer.decode()

    def test_http_is_routed_by_its_host_whatever_address_it_was_meant_for(self):
        agent = self.agent()
        for address in OTHER, OTHER6:
            answer = self.http(address, 'api.mesh')
            self.assertRegex(answer, r'^HTTP/1.1 200')
            self.assertIn('via: 1.1 dpmesh', answer)
        self.assertEqual(agent.metric('mesh_requests_total', service='api'), 2)

    def test_what_no_route_is_for_goes_where_it_was_meant_to(self):
        self.agent()
        for address in OTHER, OTHER6:
            server = self.listen(address, 80, b'')
            raw = self.connect(address, 80)
            asked = b'POST /x HTTP/1.1\r\nHost: elsewhere\r\nX-Odd:  kept \r\nContent-Length: 5\r\n\r\nhello'
            raw.sendall(asked)
            echoed = b''
            while len(echoed) < len(asked):
                echoed += raw.recv(65536)
            self.assertEqual(echoed, asked, 'byte by byte')
            self.assertEqual(server.connections, 1)
            server.stop()

    def test_a_method_that_the_route_does_not_allow_is_not_let_past_it(self):
        self.agent()
        server = self.listen(OTHER, 80, b'')
        self.assertRegex(self.http(OTHER, 'api.mesh', method='DELETE'), r'^HTTP/1.1 405')
        self.assertEqual(server.connections, 0)

    def test_tcp_goes_by_destination_or_on_to_it(self):
        agent = self.agent()
        for address in OTHER, OTHER6:
            self.assertEqual(self.connect(address, 5432).recv(100), b'db\n', 'as destinations say')
            server = self.listen(address, 7777, b'I speak first')
            self.assertEqual(self.connect(address, 7777).recv(100), b'I speak first')
            self.assertEqual(server.connections, 1)
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            if self.connect(OTHER, 7778).recv(100) == b'':
                raise ConnectionResetError
        until(lambda: agent.metric('mesh_tcp_connections_total', service='-', outcome='connect_failure') == 1, what='counted')

    def test_nothing_is_passed_on_where_that_is_said(self):
        agent = self.agent(more=', pass_on: false')
        server = self.listen(OTHER, 7777, b'hi')
        with self.assertRaises(ConnectionResetError):
            self.connect(OTHER, 7777).recv(100)
        until(lambda: agent.metric('mesh_tcp_connections_total', service='-', outcome='no_route') == 1, what='counted')
        self.assertRegex(self.http(OTHER, 'elsewhere'), r'^HTTP/1.1 404')
        self.assertEqual(server.connections, 0)

    def test_a_loop_ends_at_once(self):
        agent = self.agent(grouped=False)  # the rules do not leave it alone
        self.listen(OTHER, 7777, b'hi')
        for _ in range(20):
            try:
                self.assertEqual(self.connect(OTHER, 7777).recv(100), b'', 'reset, or ended')
            except ConnectionResetError:
                pass
        loops = until(lambda: agent.metric('mesh_bad_requests_total', reason='capture_loop')
                      + agent.metric('mesh_tcp_connections_total', outcome='loop') >= 20 and 1, what='each is found')
        self.assertTrue(loops)
        self.assertLess(agent.metric('mesh_listener_connections_total', listener='any'), 20 * 10, 'and goes round once or twice, not thousands of times')

    def test_who_comes_directly_is_not_sent_round(self):
        agent = self.agent()
        try:
            self.assertEqual(self.connect('127.0.0.1', self.tcp).recv(100), b'')
        except ConnectionResetError:
            pass
        until(lambda: agent.metric('mesh_tcp_connections_total', service='-', outcome='no_route') == 1, what='counted')
        self.assertEqual(request('GET', agent.url + '/').status, 404)


if __name__ == '__main__':
    unittest.main()
