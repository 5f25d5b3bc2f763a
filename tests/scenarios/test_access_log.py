"""The access log: all requests or a sample of them, into a file that may be moved away, and never in a request's way."""
import json
import os
import signal
import unittest

from agents import agent_before
from harness import Load, Scenario, get, until


class AccessLog(Scenario):
    def begin(self, *origins, access='', workers=2):
        self.log = self.dir / 'access.log'
        self.agent = agent_before(self, *origins, workers=workers, listener='access_log: true',
                                  top=f'access_log: {{file: {self.log}{access}}}\n', policy='retry: {attempts: 1}, breaker: {enabled: false}, outlier: {enabled: false}')
        return self.agent

    def lines(self, *more):
        return [json.loads(line) for path in (self.log, *more) for line in path.read_text().splitlines()]

    def test_a_line_says_what_became_of_a_request(self):
        api = self.origin('api', status=404)
        self.begin(api)
        get(self.agent.url + '/a"path?q=1', headers={'X-Request-Id': 'known'})
        line = until(self.lines)[0]
        self.assertEqual({key: line[key] for key in ('event', 'listener', 'method', 'path', 'service', 'endpoint', 'status', 'attempts', 'request_id', 'sample')},
                         {'event': 'request', 'listener': 'web', 'method': 'GET', 'path': '/a"path?q=1', 'service': 'api', 'endpoint': api.address,
                          'status': 404, 'attempts': 1, 'request_id': 'known', 'sample': 1.0})
        self.assertRegex(line['time'], r'^\d{4}-\d\d-\d\dT[\d:.]+Z$')
        self.assertNotIn('known', self.agent.process.log_path.read_text())

    def test_of_a_sample_failures_and_what_is_slow_are_always_there(self):
        api = self.origin('api')
        self.begin(api, access=', sample: 0, slow: 300ms')
        for _ in range(30):
            get(self.agent.url)
        api.delay = 0.4
        get(self.agent.url + '/slow')
        api.delay = 0
        api.status = 503
        get(self.agent.url + '/failed')
        until(lambda: len(self.lines()) == 2)
        self.assertEqual({line['path'] for line in self.lines()}, {'/slow', '/failed'})  # in the order of each worker

    def test_rotation_under_load_loses_no_line(self):
        self.begin(self.origin('api'))
        rotated = []
        with Load(self.agent.url, threads=4) as load:
            for number in range(5):
                load.wait(100)
                rotated.append(self.dir / f'access.log.{number}')
                os.rename(self.log, rotated[-1])
                self.agent.process.send_signal(signal.SIGUSR1)
                until(self.log.exists)
            load.wait(100)
        self.assertEqual(load.failures, {})
        self.agent.process.stop()  # what waits is written
        self.assertEqual(len(self.lines(*rotated)), load.successes)

    def test_a_reader_that_does_not_read_holds_up_no_request(self):
        self.log = self.dir / 'access.log'
        os.mkfifo(self.log)
        reader = os.open(self.log, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.begin(self.origin('api'), workers=1)
        filler = 'x' * 3000
        with Load(self.agent.url + '/' + filler, threads=4) as load:
            until(lambda: self.agent.metric('mesh_access_log_lines_total', result='dropped') > 0, deadline=20, what='the pipe is full')
            load.wait(100)
        self.assertEqual(load.failures, {})
        self.assertLess(load.quantile(0.99), 1.0)


if __name__ == '__main__':
    unittest.main()
