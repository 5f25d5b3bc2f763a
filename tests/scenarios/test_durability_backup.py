"""dpmesh registry snapshot: saved while it runs, restored into the same registry or a new one, refused if damaged."""
import json
import threading
import unittest

from harness import Scenario, binary, free_port, run
from registries import Registry


class Backup(Scenario):
    def snapshot(self, what, registry, *more):
        where = ['--registry', registry.address] if registry else []
        return run(binary('dpmesh'), 'registry', 'snapshot', what, self.dir / 'backup', *where, *more)

    def index(self, registry, path):
        return int(registry.get(path).headers['x-consul-index'])

    def test_everything_comes_back_and_watchers_are_told(self):
        registry = Registry(self, self.dir / 'state')
        registry.register('api', 8000, {'TTL': '600s', 'Status': 'passing'})
        registry.put('/v1/kv/a', b'then')
        session = registry.put('/v1/session/create', b'{"TTL": "600s"}').json()['ID']
        registry.put(f'/v1/kv/locked?acquire={session}', b'mine')
        saved = self.snapshot('save', registry, '-o', 'json')
        self.assertEqual(saved.returncode, 0, saved.stderr)
        head = json.loads(saved.stdout)
        self.assertEqual((head['services'], head['keys'], head['sessions']), (1, 2, 1))
        self.assertEqual((self.dir / 'backup').stat().st_mode & 0o777, 0o600)

        registry.put('/v1/kv/a', b'now')
        registry.put('/v1/kv/b', b'now')
        registry.delete('/v1/kv/locked')
        registry.register('api', 8001)
        before = {path: self.index(registry, path) for path in ('/v1/kv/a', '/v1/health/service/api', '/v1/catalog/services')}
        answers = {}
        watchers = [threading.Thread(target=lambda p=path: answers.update(
            {p: registry.get(f'{p}?index={before[p]}&wait=30s', timeout=40)})) for path in before]
        for watcher in watchers:
            watcher.start()
        restored = self.snapshot('restore', registry)
        self.assertEqual(restored.returncode, 0, restored.stderr)
        for watcher in watchers:
            watcher.join()
        for path, index in before.items():
            self.assertGreater(int(answers[path].headers['x-consul-index']), index, path)
        self.assertEqual((registry.key('a'), registry.key('b'), registry.key('locked')), (b'then', None, b'mine'))
        self.assertEqual(registry.ids('api'), ['api-8000'])
        self.assertEqual(registry.get('/v1/kv/locked').json()[0]['Session'], session)
        self.assertEqual(registry.put('/v1/kv/a?cas=%d' % before['/v1/kv/a'], b'late').body, b'false')

        # It is durable like any other write, and the index goes on.
        index = self.index(registry, '/v1/kv/a')
        registry.process.kill()
        again = Registry(self, self.dir / 'state')
        self.assertEqual((again.key('a'), again.key('b')), (b'then', None))
        self.assertEqual(self.index(again, '/v1/kv/a'), index)

    def test_a_new_registry_of_that_name_takes_it_and_another_refuses(self):
        old = Registry(self, self.dir / 'old')
        old.put('/v1/kv/a', b'1')
        self.assertEqual(self.snapshot('save', old).returncode, 0)
        new = Registry(self, self.dir / 'new')
        self.assertEqual(self.snapshot('restore', new).returncode, 0)
        self.assertEqual(new.key('a'), b'1')
        self.assertGreater(self.index(new, '/v1/kv/a'), self.index(old, '/v1/kv/a'))
        other = Registry(self, self.dir / 'other', more=['--node', 'another'])
        refused = self.snapshot('restore', other)
        self.assertEqual(refused.returncode, 1)
        self.assertIn('this is node "another"', refused.stderr)

    def test_a_damaged_file_is_refused_and_changes_nothing(self):
        registry = Registry(self, self.dir / 'state')
        registry.put('/v1/kv/a', b'1')
        self.assertEqual(self.snapshot('save', registry).returncode, 0)
        good = (self.dir / 'backup').read_bytes()
        registry.put('/v1/kv/a', b'2')
        for damage in (good[:-1], good[:len(good) // 2], good + b'x', b'', b'PK\x03\x04', good[:200] + b'\xff' + good[201:]):
            (self.dir / 'backup').write_bytes(damage)
            for what, with_registry in ('inspect', None), ('restore', registry):
                refused = self.snapshot(what, with_registry)
                self.assertEqual(refused.returncode, 1)
                self.assertIn('not a snapshot of a dpmesh registry, or a damaged one', refused.stderr)
            self.assertEqual(registry.put('/v1/snapshot', damage).status, 400)
        self.assertEqual(registry.key('a'), b'2')
        (self.dir / 'backup').write_bytes(good)
        self.assertEqual(self.snapshot('inspect', None).returncode, 0)

    def test_what_is_wrong_is_said_with_its_exit_code(self):
        nobody = f'127.0.0.1:{free_port()}'
        away = run(binary('dpmesh'), 'registry', 'snapshot', 'save', self.dir / 'x', '--registry', nobody)
        self.assertEqual(away.returncode, 3)
        self.assertFalse((self.dir / 'x').exists())
        self.assertEqual(run(binary('dpmesh'), 'registry', 'snapshot', 'inspect', self.dir / 'none').returncode, 1)
        self.assertEqual(run(binary('dpmesh'), 'registry', 'snapshot').returncode, 2)
        self.assertEqual(run(binary('dpmesh'), 'registry', 'snapshot', 'save').returncode, 2)

    def test_a_registry_in_memory_can_be_saved_too(self):
        registry = Registry(self)
        registry.put('/v1/kv/a', b'1')
        self.assertEqual(self.snapshot('save', registry).returncode, 0)
        registry.put('/v1/kv/a', b'2')
        self.assertEqual(self.snapshot('restore', registry).returncode, 0)
        self.assertEqual(registry.key('a'), b'1')


if __name__ == '__main__':
    unittest.main()
