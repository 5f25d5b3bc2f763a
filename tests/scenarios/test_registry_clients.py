"""Our registry as clients see it that others wrote, where sessions, locks and blocking queries come in."""
import threading
import unittest

from harness import ROOT, Scenario, peer, peer_module, run
from registries import Registry


class PythonConsul(Scenario):
    def setUp(self):
        self.consul = peer_module('consul')
        self.registry = Registry(self)
        self.client = self.consul.Consul(port=self.registry.port)

    def test_sessions(self):
        session = self.client.session
        mine = session.create(name='mine', ttl=10, lock_delay=1, behavior='delete')
        info = session.info(mine)[1]
        self.assertEqual({key: info[key] for key in ('Name', 'TTL', 'LockDelay', 'Behavior', 'NodeChecks')},
                         {'Name': 'mine', 'TTL': '10s', 'LockDelay': 1_000_000_000, 'Behavior': 'delete', 'NodeChecks': ['serfHealth']})
        other = session.create()
        self.assertEqual({entry['ID'] for entry in session.list()[1]}, {mine, other})
        self.assertEqual(len(session.node(info['Node'])[1]), 2)
        self.assertEqual(session.renew(mine)['ID'], mine)
        self.assertTrue(session.destroy(mine))
        self.assertIsNone(session.info(mine)[1])
        with self.assertRaises(self.consul.NotFound):
            session.renew(mine)

    def test_locks_and_who_waits_for_them(self):
        kv, session = self.client.kv, self.client.session
        one, two = session.create(lock_delay=0), session.create(lock_delay=0)
        self.assertTrue(kv.put('leader', 'one', acquire=one))
        self.assertFalse(kv.put('leader', 'two', acquire=two))
        index, row = kv.get('leader')
        self.assertEqual((row['Value'], row['Session'], row['LockIndex']), (b'one', one, 1))
        seen = []
        waiter = threading.Thread(target=lambda: seen.append(self.consul.Consul(port=self.registry.port).kv.get('leader', index=index, wait='60s')))
        waiter.start()
        self.addCleanup(waiter.join)
        self.assertTrue(session.destroy(one))
        waiter.join(10)
        self.assertNotIn('Session', seen[0][1])
        self.assertGreater(int(seen[0][0]), int(index))
        self.assertTrue(kv.put('leader', 'two', acquire=two))
        self.assertEqual(kv.get('leader')[1]['LockIndex'], 2)
        self.assertFalse(kv.put('leader', '', release=one))
        self.assertTrue(kv.put('leader', '', release=two))

    def test_check_and_set(self):
        kv = self.client.kv
        self.assertTrue(kv.put('counter', '1', cas=0, flags=42))
        self.assertFalse(kv.put('counter', '2', cas=0))
        row = kv.get('counter')[1]
        self.assertEqual((row['Value'], row['Flags']), (b'1', 42))
        self.assertTrue(kv.put('counter', '2', cas=row['ModifyIndex']))
        self.assertFalse(kv.delete('counter', cas=row['ModifyIndex']))
        self.assertTrue(kv.delete('counter', cas=kv.get('counter')[1]['ModifyIndex']))
        self.assertIsNone(kv.get('counter')[1])

    def test_a_session_ends_with_its_service(self):
        check = self.consul.Check.ttl('60s')
        self.client.agent.service.register('worker', 'worker-1', check=check)
        self.registry.put('/v1/agent/check/pass/service:worker-1')
        mine = self.client.session.create(checks=['serfHealth', 'service:worker-1'], behavior='delete', lock_delay=0)
        self.assertTrue(self.client.kv.put('job', 'worker-1', acquire=mine))
        self.registry.put('/v1/agent/check/fail/service:worker-1')
        self.assertIsNone(self.client.session.info(mine)[1])
        self.assertIsNone(self.client.kv.get('job')[1])
        with self.assertRaisesRegex(self.consul.ConsulException, 'is in critical state'):
            self.client.session.create(checks=['service:worker-1'])


    def test_events(self):
        fired = self.client.event.fire('deploy', 'payload')
        self.assertEqual(fired['Name'], 'deploy')
        index, events = self.client.event.list('deploy')
        self.assertEqual([event['ID'] for event in events], [fired['ID']])
        self.assertEqual(self.client.event.list('other')[1], [])


class NpmConsul(Scenario):
    def test_the_package_consul(self):
        node, _ = peer('node'), peer('npm')
        folder = run(ROOT / 'tools/peers/npm_consul.sh', deadline=60)
        self.assertEqual(folder.returncode, 0, folder.stderr)
        registry = Registry(self)
        done = run(node, ROOT / 'tests/scenarios/registry_client.js', folder.stdout.strip(), registry.port, deadline=30)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count(': ok'), 5)


if __name__ == '__main__':
    unittest.main()
