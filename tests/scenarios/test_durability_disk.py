"""A disk that fills up: writes are refused and say why, reads go on, and nothing needs a restart when there is room again."""
import pathlib
import shutil
import subprocess
import unittest

from harness import Scenario, binary, free_port, until
from registries import Registry

DISK_BYTES = 1024 * 1024


class SmallDisk(Scenario):
    """Each test has a tmpfs of its own, in a mount namespace that a sleeping process holds."""

    def setUp(self):
        if not shutil.which('unshare') or subprocess.run(
                ['unshare', '-rm', 'true'], capture_output=True, check=False).returncode != 0:
            self.skipTest('no mount namespaces here')
        self.state = self.dir / 'disk'
        self.state.mkdir()
        self.holder = self.start(
            'unshare', '-rm', 'sh', '-c', f'mount -t tmpfs -o size={DISK_BYTES} none {self.state} && touch {self.state}/here && exec sleep 600')
        # The same folder as the holder sees it.
        self.disk = pathlib.Path(f'/proc/{self.holder.pid}/root{self.state}')
        until(lambda: (self.disk / 'here').exists(), what='the small disk')

    def under(self):
        """What a program needs in front of it to see the disk."""
        return 'nsenter', '-t', str(self.holder.pid), '-U', '-m', '--preserve-credentials'

    def fill(self):
        with open(self.disk / 'filler', 'wb', buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass

    def test_a_full_disk_refuses_writes_keeps_reads_and_passes(self):
        registry = Registry(self, self.state, under=self.under())
        registry.register('api', 8000)
        self.assertEqual(registry.put('/v1/kv/before', b'1').status, 200)
        index = int(registry.get('/v1/kv/before').headers['x-consul-index'])
        self.fill()
        refused = [registry.put(f'/v1/kv/full{number}', b'x' * 50_000) for number in range(5)]
        for answer in refused:
            self.assertEqual(answer.status, 500)
            self.assertRegex(answer.body.decode(), 'the registry cannot write: .*registry.db.*full')
        # Reads go on, and show nothing that was refused.
        self.assertEqual(registry.key('before'), b'1')
        self.assertIsNone(registry.key('full0'))
        self.assertEqual(registry.ids('api'), ['api-8000'])
        self.assertIn('the registry cannot write', registry.process.tail())

        (self.disk / 'filler').unlink()
        self.assertEqual(registry.put('/v1/kv/after', b'2').status, 200)
        self.assertGreater(int(registry.get('/v1/kv/after').headers['x-consul-index']), index)
        self.assertIn('the registry writes again', registry.process.tail())

        # And what was acknowledged before and after outlives a kill.
        registry.process.kill()
        again = Registry(self, self.state, under=self.under())
        self.assertEqual((again.key('before'), again.key('full0'), again.key('after')), (b'1', None, b'2'))
        self.assertEqual(again.ids('api'), ['api-8000'])

    def test_a_full_disk_at_the_start_is_said(self):
        self.fill()
        registry = self.start(*self.under(), binary('dpmesh'), 'registry', '--port', free_port(), '--data-dir', self.state, '--no-dns')
        self.assertEqual(registry.wait(10), 1)
        self.assertRegex(registry.tail(), 'full|No space')


if __name__ == '__main__':
    unittest.main()
