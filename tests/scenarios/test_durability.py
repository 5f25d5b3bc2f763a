"""What the registry has acknowledged, it has: through kill -9, and never on top of a damaged file."""
import os
import random
import shutil
import threading
import unittest

from harness import Scenario, binary, free_port, run
from registries import Registry

KILLS = 10
WRITERS = 4


class Writers:
    """Threads that write until the registry is gone, and remember every write that was acknowledged."""

    def __init__(self, registry, generation, done):
        self._registry, self._generation, self._done = registry, generation, done
        self._threads = [threading.Thread(target=self._write, args=(writer,), daemon=True) for writer in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def join(self):
        for thread in self._threads:
            thread.join()

    def _write(self, writer):
        number = 0
        while True:
            key, value = f'w{writer}/{self._generation}/{number % 5}', b'%d' % number
            number += 1
            try:
                answer = self._registry.put(f'/v1/kv/{key}', value)
            except Exception:
                self._done.attempted[key] = value  # may be there or not
                return
            if answer.status == 200:
                self._done.attempted.pop(key, None)
                self._done.values[key] = value
                if self._done.budget.acquire(blocking=False):
                    continue
                self._done.enough.set()


class Done:
    """`values`: what must be there. `attempted`: what may be there instead, since nobody answered."""

    def __init__(self):
        self.values, self.attempted = {}, {}

    def expect(self, writes):
        self.budget, self.enough = threading.Semaphore(writes), threading.Event()


class Durability(Scenario):
    def test_no_acknowledged_write_is_lost_by_kill_9(self):
        seed = int(os.environ.get('SEED', random.randrange(2**32)))
        luck, done, state = random.Random(seed), Done(), self.dir / 'state'
        for generation in range(KILLS + 1):
            registry = Registry(self, state)
            for key, value in done.values.items():
                may_be = {value, done.attempted.get(key, value)}
                self.assertIn(registry.key(key), may_be, f'{key} after kill {generation}, SEED={seed}')
            if generation == KILLS:
                break
            self.assertEqual(len(registry.ids('api', '')), generation)
            registry.register('api', 8000 + generation)
            done.expect(luck.randrange(1, 60))
            writers = Writers(registry, generation, done)
            self.assertTrue(done.enough.wait(10))
            registry.process.kill()
            writers.join()
        self.assertGreater(len(done.values), KILLS * WRITERS)

    def test_a_second_process_is_told_that_the_state_is_in_use(self):
        registry = Registry(self, self.dir / 'state')
        second = run(binary('dpmesh'), 'registry', '--data-dir', self.dir / 'state', '--port', free_port())
        self.assertEqual(second.returncode, 1)
        self.assertIn(f'{self.dir}/state/registry.db: another process uses it', second.stderr)
        registry.put('/v1/kv/a', b'still here')
        self.assertEqual(registry.key('a'), b'still here')

    def test_a_port_in_use_is_said(self):
        registry = Registry(self)
        second = run(binary('dpmesh'), 'registry', '--dev', '--port', registry.port)
        self.assertEqual(second.returncode, 1)
        self.assertRegex(second.stderr, f'registry: .*{registry.address}.*in use')

    def test_the_state_is_nobody_elses_business(self):
        Registry(self, self.dir / 'state')
        self.assertEqual((self.dir / 'state').stat().st_mode & 0o077, 0)

    def test_where_the_state_goes_must_be_said(self):
        for argv in [], ['--dev', '--data-dir', self.dir / 'state']:
            done = run(binary('dpmesh'), 'registry', *argv)
            self.assertEqual(done.returncode, 2)
            self.assertIn('--data-dir', done.stderr)


class Damage(Scenario):
    def setUp(self):
        """A state that was written and closed well."""
        registry = Registry(self, self.dir / 'good')
        for number in range(200):
            registry.put(f'/v1/kv/key{number}', b'v' * 200)
        self.assertEqual(registry.process.stop(), 0)

    def damaged(self, damage):
        """The end of a registry that finds the file after `damage` was done to it."""
        shutil.rmtree(self.dir / 'bad', ignore_errors=True)
        shutil.copytree(self.dir / 'good', self.dir / 'bad')
        path = self.dir / 'bad' / 'registry.db'
        data = bytearray(path.read_bytes())
        damage(data)
        path.write_bytes(data)
        done = run(binary('dpmesh'), 'registry', '--data-dir', self.dir / 'bad', '--port', free_port())
        self.assertEqual(path.read_bytes(), bytes(data), 'the damaged file was changed')
        return done

    def test_is_refused_with_the_path_and_what_to_do(self):
        def flip_bits(data):
            for at in range(4096, len(data), 512):
                data[at + 300] ^= 0xff

        def cut(data):
            del data[len(data) // 2:]

        def replace(data):
            data[:] = b'not a database at all\n' * 100

        def overwrite_the_middle(data):
            data[len(data) // 2:len(data) // 2 + 4096] = bytes(4096)

        for damage in flip_bits, cut, replace, overwrite_the_middle, bytearray.clear:
            with self.subTest(damage.__name__):
                done = self.damaged(damage)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(f'{self.dir}/bad/registry.db', done.stderr)
                self.assertRegex(done.stderr, 'restore a backup, or move .* away to start empty')

    def test_a_good_file_is_read_and_its_removal_is_a_start_from_nothing(self):
        self.assertEqual(Registry(self, self.dir / 'good').key('key199'), b'v' * 200)
        self.assertIsNone(Registry(self, self.dir / 'fresh').key('key199'))


if __name__ == '__main__':
    unittest.main()
