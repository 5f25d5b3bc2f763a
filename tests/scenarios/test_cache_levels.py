"""What agents know when the registry is gone: from the disk, from each other through Redis; and Redis' own failures."""
import signal

from agents import Agent
from certificates import Authority
from harness import Load, Scenario, get, until, wait_http
from redis_server import Redis
from registries import Registry

CONFIG = """
version: 1
registry: {{kind: consul, consul: {{address: "{registry}"}}}}
admin: {{port: {admin}}}
discovery: {{cache_ttl: 1s, removal_grace: 0s, snapshot: {{file: "{snapshot}", delay: 10ms}}}}
redis: {{enabled: {with_redis}, address: "127.0.0.1:{redis}"{redis_more}}}
listeners: [{{name: web, port: {port}}}]
routes: [{{service: api}}]
"""
# What docs/operations.md says that the user needs, and nothing else.
RIGHTS = '-@all +eval +hmget +hset +pexpire +time +publish +subscribe +ping ~dpmesh:* &dpmesh:*'
FROM_REGISTRY, FROM_REDIS, FROM_DISK = 0, 2, 3


class CacheLevels(Scenario):
    def setUp(self):
        self.registry, self.api = Registry(self), self.origin('api')
        self.registry.register('api', self.api.port)

    def agent(self, name, redis=None, ready=True, redis_more=''):
        agent = Agent(self, CONFIG, name=f'{name}.yaml', ready=ready, registry=self.registry.address, snapshot=self.dir / name,
                      with_redis='true' if redis else 'false', redis=redis.port if redis else 6379, redis_more=redis_more)
        wait_http(agent.url + '/', process=agent.process)
        return agent

    def test_a_restart_while_the_registry_is_away_still_routes(self):
        first = self.agent('sets')
        until(lambda: first.metric('mesh_discovery_snapshot_writes_total', result='ok'), what='the snapshot')
        self.registry.process.kill()
        first.process.kill()
        second = self.agent('sets', ready=False)
        self.assertEqual(get(second.url + '/').text, 'api')
        until(lambda: second.metric('mesh_discovery_set_origin', service='api') == FROM_DISK, what='the origin')
        self.assertEqual(second.metric('mesh_discovery_set_stale', service='api'), 1)
        self.assertEqual(second.metric('mesh_discovery_snapshot_loads_total', result='ok'), 1)
        until(lambda: second.metric('mesh_registry_breaker_transitions_total', to='open'), what='the breaker')
        # It comes back, and is believed again, without a restart of ours.
        self.registry = Registry(self, port=self.registry.port)
        self.registry.register('api', self.api.port)
        until(lambda: second.metric('mesh_discovery_set_origin', service='api') == FROM_REGISTRY, 40, 'the registry')
        self.assertEqual(get(second.url + '/').text, 'api')

    def test_a_damaged_snapshot_is_left_out(self):
        first = self.agent('sets')
        until(lambda: first.metric('mesh_discovery_snapshot_writes_total', result='ok'), what='the snapshot')
        first.process.kill()
        file = self.dir / 'sets'
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        second = self.agent('sets')
        until(lambda: second.metric('mesh_discovery_snapshot_loads_total', result='damaged') == 1, what='the damage')
        self.assertEqual(get(second.url + '/').text, 'api')

    def test_who_starts_cold_knows_what_another_agent_learned(self):
        redis = Redis(self)
        self.agent('first', redis)
        until(lambda: redis.cli('EXISTS', 'dpmesh:set:api') == '1', what='the shared set')
        self.registry.process.kill()
        second = self.agent('second', redis, ready=False)
        self.assertEqual(get(second.url + '/').text, 'api')
        until(lambda: second.metric('mesh_discovery_set_origin', service='api') == FROM_REDIS, what='the origin')
        self.assertGreaterEqual(second.metric('mesh_shared_cache_requests_total', operation='fetch', result='ok'), 1)

    def over_tls(self, authority):
        certificate, key = authority.issue('agent')
        return f', tls: true, tls_ca: "{authority.ca}", tls_certificate: "{certificate}", tls_private_key: "${{file:{key}}}"'

    def test_redis_behind_mutual_tls_with_a_user_of_few_rights(self):
        authority = Authority(self.dir)
        redis = Redis(self, authority, user=('mesh', 'a-secret', RIGHTS))
        more = self.over_tls(authority) + ', username: mesh, password: '
        first = self.agent('first', redis, redis_more=more + 'a-secret')
        until(lambda: redis.cli('EXISTS', 'dpmesh:set:api') == '1', what='the shared set')
        late = self.origin('late')
        self.registry.register('api', late.port)
        until(lambda: get(first.url + '/').text == 'late', what='the second endpoint')
        until(lambda: first.metric('mesh_shared_cache_requests_total', operation='store', result='ok') >= 2, what='a confirmed set')
        self.registry.process.kill()
        second = self.agent('second', redis, ready=False, redis_more=more + 'a-secret')
        self.assertIn(get(second.url + '/').text, ('api', 'late'))
        until(lambda: second.metric('mesh_discovery_set_origin', service='api') == FROM_REDIS, what='the origin')
        for agent in (first, second):
            for result in ('error', 'garbage'):
                self.assertEqual(agent.metric('mesh_shared_cache_requests_total', result=result), 0, agent.process.tail())

    def test_a_redis_that_denies_us_costs_nothing_but_its_cache(self):
        authority = Authority(self.dir)
        redis = Redis(self, authority, user=('mesh', 'a-secret', RIGHTS))
        more = self.over_tls(authority) + ', username: mesh, password: '
        agent = self.agent('denied', redis, redis_more=more + 'another-secret')
        self.assertEqual(get(agent.url + '/').text, 'api')
        until(lambda: 'WRONGPASS' in agent.process.tail(), what='the log line')
        self.assertEqual(agent.metric('mesh_shared_cache_up'), 0)
        self.assertNotIn('another-secret', agent.process.tail())
        self.assertEqual(redis.cli('EXISTS', 'dpmesh:set:api'), '0')

    def test_whatever_happens_to_redis_traffic_goes_on(self):
        redis = Redis(self)
        agent = self.agent('first', redis)
        until(lambda: redis.cli('EXISTS', 'dpmesh:set:api') == '1', what='the shared set')
        requests = lambda **labels: agent.metric('mesh_shared_cache_requests_total', **labels)
        with Load(agent.url + '/') as load:
            load.wait(50)
            redis.cli('FLUSHALL')
            until(lambda: redis.cli('EXISTS', 'dpmesh:set:api') == '1', what='the set after a flush')
            redis.cli('DEL', 'dpmesh:set:api')
            redis.cli('LPUSH', 'dpmesh:set:api', 'not a set')
            until(lambda: requests(result='error'), what='the wrong type')
            redis.cli('DEL', 'dpmesh:set:api')
            until(lambda: redis.cli('TYPE', 'dpmesh:set:api') == 'hash', what='the set again')
            redis.process.send_signal(signal.SIGSTOP)
            until(lambda: requests(result='timeout') + requests(result='refused'), what='the silence')
            until(lambda: agent.metric('mesh_shared_cache_up') == 0, what='the gauge')
            load.wait(50)
            redis.process.send_signal(signal.SIGCONT)
            until(lambda: agent.metric('mesh_shared_cache_up') == 1, 20, 'redis after the silence')
            redis.process.kill()
            load.wait(50)
            late = self.origin('late')
            self.registry.register('api', late.port)
            until(lambda: late.requests, what='news without redis')
            redis.start()
            until(lambda: redis.cli('EXISTS', 'dpmesh:set:api') == '1', 20, 'the set in an empty redis')
        self.assertEqual(load.failures, {})
