"""gRPC through the mesh, with a client and servers of python3-grpcio."""
import pathlib
import queue

from agents import agent_before
from harness import Scenario, free_port, peer_module, until

grpc = peer_module('grpc')
HERE = pathlib.Path(__file__).parent


class Grpc(Scenario):
    def setUp(self):
        self.servers = [self.server('one'), self.server('two')]

    def server(self, name):
        port = free_port()
        process = self.start('/usr/bin/python3', str(HERE / 'grpc_echo_server.py'), str(port), name)
        process.wait_log('ready')
        process.address = f'127.0.0.1:{port}'
        return process

    def channel(self, policy=''):
        self.agent = agent_before(self, *self.servers, policy=policy)
        channel = grpc.insecure_channel(f'127.0.0.1:{self.agent.port}')
        self.addCleanup(channel.close)
        return channel

    def test_calls_of_all_four_kinds_are_balanced_over_the_endpoints(self):
        channel = self.channel()
        unary = channel.unary_unary('/test.Echo/Unary')
        names = set()
        for i in range(20):
            answer, call = unary.with_call(b'm%d' % i, timeout=10)
            self.assertEqual(answer, b'm%d' % i)
            names.add(dict(call.trailing_metadata())['x-name'])
        self.assertEqual(names, {'one', 'two'}, 'many calls on one connection go to both')
        self.assertEqual(unary(b'x' * 3_000_000, timeout=10), b'x' * 3_000_000)
        self.assertEqual(channel.stream_unary('/test.Echo/Up')(iter([b'a', b'b', b'c']), timeout=10), b'a+b+c')
        self.assertEqual(list(channel.unary_stream('/test.Echo/Down')(b'500', timeout=10)), [b'%d' % i for i in range(500)])
        # Each answer is awaited before the next question: nothing may be held back for company.
        questions = queue.Queue()
        answers = channel.stream_stream('/test.Echo/Both')(iter(questions.get, None), timeout=10)
        for i in range(10):
            questions.put(b'%d' % i)
            self.assertEqual(next(answers), b'<%d>' % i)
        questions.put(None)
        self.assertEqual(list(answers), [])
        self.assertEqual(self.agent.metric('mesh_grpc_requests_total', method='/test.Echo/Unary', status='OK'), 21)
        self.assertEqual(self.agent.metric('mesh_upstream_connections_total'), 2, 'one to each')

    def test_a_status_in_the_trailers_is_the_outcome(self):
        channel = self.channel('retry: {attempts: 1}, breaker: {enabled: false}')
        fail = channel.unary_unary('/test.Echo/Fail')
        for code in (5, 14, 8, 13):
            with self.assertRaises(grpc.RpcError) as raised:
                fail(b'%d' % code, timeout=10)
            self.assertEqual(raised.exception.code().value[0], code)
            self.assertRegex(raised.exception.details(), r'no \d')
        for outcome in ('success', 'server_error'):
            until(lambda outcome=outcome: self.agent.metric('mesh_attempts_total', outcome=outcome) == 2, what=outcome)
        with self.assertRaises(grpc.RpcError) as raised:
            channel.unary_unary('/test.Echo/Nothing')(b'', timeout=10)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(self.agent.metric('mesh_grpc_requests_total', method='-'), 1, 'a name that only the caller knows')

    def test_named_statuses_are_tried_again(self):
        channel = self.channel('retry: {on_grpc: [unavailable]}, breaker: {enabled: false}, outlier: {enabled: false}')
        fail = channel.unary_unary('/test.Echo/Fail')
        self.assertEqual(fail(b'14 x1', timeout=10), b'at last')
        with self.assertRaises(grpc.RpcError) as raised:
            fail(b'8 x1', timeout=10)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, 'not named')

    def test_deadlines_pass_on_and_hold(self):
        channel = self.channel()
        _, call = channel.unary_unary('/test.Echo/Unary').with_call(b'', timeout=7)
        left = float(dict(call.trailing_metadata())['x-left'])
        self.assertTrue(5 < left <= 7.1, left)
        with self.assertRaises(grpc.RpcError) as raised:
            channel.unary_unary('/test.Echo/Sleep')(b'20', timeout=0.5)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        until(lambda: any('cancelled' in server.log() for server in self.servers), what='the endpoint stopped working for it')

    def test_cancelling_reaches_the_endpoint(self):
        channel = self.channel()
        call = channel.unary_unary('/test.Echo/Sleep').future(b'30', timeout=40)
        until(lambda: any('begun' in server.log() for server in self.servers), what='it is on its way')
        call.cancel()
        until(lambda: any('cancelled' in server.log() for server in self.servers), what='the endpoint noticed')
        until(lambda: self.agent.metric('mesh_requests_in_flight') == 0, what='nothing is left')

    def test_our_own_refusals_are_in_grpcs_words(self):
        channel = self.channel('retry: {attempts: 1}')
        for server in self.servers:
            server.stop()
        with self.assertRaises(grpc.RpcError) as raised:
            channel.unary_unary('/test.Echo/Unary')(b'', timeout=10)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(dict(raised.exception.initial_metadata() or raised.exception.trailing_metadata()).get('x-mesh-reason')
                         or dict(raised.exception.trailing_metadata())['x-mesh-reason'], 'connect_failure')


if __name__ == '__main__':
    import unittest
    unittest.main()
