"""Services that embed the library: found, called, retried, and back after the registry lost everything."""
import signal
import unittest

from harness import Load, Scenario, binary, free_port, get, put, until, wait_http


class Library(Scenario):
    def setUp(self):
        self.registry_port = free_port()
        self.registry = self.start_registry()
        self.apis = [self.start_service('api_service') for _ in range(3)]
        self.web, self.web_port = self.start_service('web')

    def start_registry(self):
        registry = self.start(binary('dpmesh'), 'registry', '--dev', '--port', self.registry_port)
        wait_http(f'http://127.0.0.1:{self.registry_port}/v1/status/leader', process=registry)
        return registry

    def start_service(self, name):
        port = free_port()
        service = self.start(binary(name), '--port', port, '--registry', f'127.0.0.1:{self.registry_port}')
        service.wait_log('serves http://')
        return service, port

    def registered(self, name):
        answer = get(f'http://127.0.0.1:{self.registry_port}/v1/health/service/{name}')
        return sorted(entry['Service']['Port'] for entry in answer.json())

    def passing(self, name):
        answer = get(f'http://127.0.0.1:{self.registry_port}/v1/health/service/{name}?passing')
        return sorted(entry['Service']['Port'] for entry in answer.json())

    def test_callers_notice_nothing_when_endpoints_leave_crash_or_slow_down(self):
        ports = sorted(port for _, port in self.apis)
        until(lambda: self.passing('api_service') == ports, what='three healthy endpoints')
        with Load(f'http://127.0.0.1:{self.web_port}/', threads=2, pause=0.002) as load:
            load.wait(200)
            leaver, leaver_port = self.apis[0]
            leaver.send_signal(signal.SIGTERM)
            self.assertEqual(leaver.wait(), 0)
            self.assertNotIn(leaver_port, self.registered('api_service'))
            load.wait(200)
            self.apis[1][0].kill()
            load.wait(300)
            put(f'http://127.0.0.1:{self.apis[2][1]}/delay', b'5')
            load.wait(200)
        self.assertEqual(load.failures, {})
        metrics = get(f'http://127.0.0.1:{self.web_port}/metrics').text
        self.assertIn('mesh_attempts_total{service="api_service",outcome="success"}', metrics)

    def test_a_registry_that_lost_everything_hears_of_all_again(self):
        ports = sorted(port for _, port in self.apis)
        until(lambda: self.passing('api_service') == ports, what='three healthy endpoints')
        with Load(f'http://127.0.0.1:{self.web_port}/', threads=1, pause=0.02) as load:
            load.wait(20)
            self.registry.kill()
            load.wait(50)  # an outage of the registry stops nobody
            self.registry = self.start_registry()
            # Each asks about every 15 s whether it is still there.
            until(lambda: self.registered('api_service') == ports, deadline=30, what='registrations made again')
            load.wait(20)
        self.assertEqual(load.failures, {})

    def test_ends_with_an_error_that_says_why_if_nobody_answers(self):
        for api, _ in self.apis:
            api.send_signal(signal.SIGTERM)
        for api, _ in self.apis:
            self.assertEqual(api.wait(), 0)
        answer = until(lambda: (a := get(f'http://127.0.0.1:{self.web_port}/')).status == 503 and a)
        self.assertRegex(answer.text, 'api_service')


if __name__ == '__main__':
    unittest.main()
