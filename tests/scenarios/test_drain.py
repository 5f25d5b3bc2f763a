"""SIGTERM: what is in flight ends well, nothing new comes in, and the exit code says so."""
import signal
import socket
import time
import unittest

from agents import agent_before
from harness import RawClient, Scenario, get, until

GET = b'GET / HTTP/1.1\r\nHost: a\r\n\r\n'


def is_refused(port):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return False
    except (ConnectionRefusedError, ConnectionResetError):  # reset: the listener closed under the handshake
        return True


class Drain(Scenario):
    def in_flight(self, agent, origin, count):
        """That many requests, each on a connection of its own, which the origin has in hand."""
        clients = []
        for _ in range(count):
            clients.append(RawClient(agent.port))
            self.addCleanup(clients[-1].__exit__)
            clients[-1].send(GET)
        until(lambda: origin.requests == count, what=f'{count} requests at the origin')
        return clients

    def test_fifty_requests_in_flight_are_answered_whole(self):
        slow = self.origin('slow', delay=0.7, body=b'x' * 5000)
        agent = agent_before(self, slow, workers=2)
        idle = RawClient(agent.port)
        self.addCleanup(idle.__exit__)
        clients = self.in_flight(agent, slow, 50)
        agent.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(agent.port), what='no new connections')
        self.assertEqual(idle.read_all(), b'')
        for client in clients:
            answer = client.read_all()
            self.assertTrue(answer.startswith(b'HTTP/1.1 200'), answer[:200])
            self.assertTrue(answer.endswith(b'\r\n\r\n' + b'x' * 5000), 'a cut body')
            self.assertIn(b'\r\nconnection: close\r\n', answer.lower())
        self.assertEqual(agent.process.wait(), 0)

    def test_ready_says_that_it_is_shutting_down(self):
        slow = self.origin('slow', delay=30)
        agent = agent_before(self, slow, top='drain_timeout: 20s')
        self.in_flight(agent, slow, 1)
        agent.process.send_signal(signal.SIGINT)
        answer = until(lambda: (answer := get(f'http://127.0.0.1:{agent.admin}/ready')).status == 503 and answer)
        self.assertEqual([reason['part'] for reason in answer.json()['reasons']], ['drain'])
        self.assertEqual(get(f'http://127.0.0.1:{agent.admin}/live').status, 200)

    def test_a_second_signal_stops_at_once(self):
        slow = self.origin('slow', delay=30)
        agent = agent_before(self, slow)
        clients = self.in_flight(agent, slow, 3)
        agent.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(agent.port))
        self.assertIsNone(agent.process.exit_code())
        began = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        self.assertIsNotNone(agent.process.wait(deadline=5))
        self.assertLess(time.monotonic() - began, 5)
        for client in clients:
            self.assertNotIn(b' 200 ', client.read_all())

    def test_the_drain_timeout_bounds_the_patience(self):
        slow = self.origin('slow', delay=30)
        agent = agent_before(self, slow, top='drain_timeout: 300ms')
        clients = self.in_flight(agent, slow, 3)
        agent.process.send_signal(signal.SIGTERM)
        for client in clients:
            self.assertNotIn(b' 200 ', client.read_all())
        self.assertEqual(agent.process.wait(deadline=5), 0)

    def test_a_body_on_its_way_arrives(self):
        origin = self.origin('api')
        agent = agent_before(self, origin)
        with RawClient(agent.port) as client:
            client.send(b'PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc')
            until(lambda: agent.metric('mesh_listener_connections_open') == 1)
            until(lambda: agent.metric('mesh_requests_in_flight', service='api') == 1)
            agent.process.send_signal(signal.SIGTERM)
            until(lambda: is_refused(agent.port))
            answer = client.send(b'def').read_all()
        self.assertIn(b'"body": "abcdef"', answer)
        self.assertEqual(agent.process.wait(), 0)


if __name__ == '__main__':
    unittest.main()
