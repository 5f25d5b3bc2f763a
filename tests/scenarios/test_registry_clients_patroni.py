"""Patroni with two PostgreSQL servers on our registry: it elects, survives a crash of the registry, fails over, takes the old one back."""
import os
import pathlib
import pwd
import shutil
import signal
import unittest

from harness import Scenario, free_port, get, peer, run, until
from registries import Registry

POSTGRES_BIN = pathlib.Path('/usr/lib/postgresql/15/bin')
TTL = 20  # seconds; patroni's least. Its sessions have half of it, which the registry doubles.
CONFIG = '''
scope: batman
name: {name}
restapi: {{listen: '127.0.0.1:{api}', connect_address: '127.0.0.1:{api}'}}
consul: {{host: '127.0.0.1:{registry}', register_service: true}}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: 1
    retry_timeout: 3
    postgresql:
      use_pg_rewind: true
      parameters: {{max_connections: 20, wal_log_hints: 'on', shared_buffers: 16MB, max_wal_senders: 4}}
  initdb: [{{encoding: UTF8}}, {{auth: trust}}, no-sync, no-locale]
  pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {data}
  bin_dir: {bin}
  authentication: {{superuser: {{username: postgres, password: x}}, replication: {{username: replicator, password: x}}}}
  parameters: {{unix_socket_directories: '{home}', fsync: 'off', logging_collector: 'off', log_min_messages: fatal}}
  pgpass: {home}/pgpass
  basebackup: [{{checkpoint: fast}}, no-sync]
'''


class Node:
    """One patroni with its PostgreSQL, run as the user postgres when we are root."""

    def __init__(self, scenario, name, registry):
        self.scenario, self.name, self.home = scenario, name, scenario.dir / name
        self.api, self.port = free_port(), free_port()
        self.home.mkdir()
        config = self.home / 'patroni.yaml'
        config.write_text(CONFIG.format(name=name, api=self.api, port=self.port, registry=registry.port, ttl=TTL,
                                        data=self.home / 'data', home=self.home, bin=POSTGRES_BIN))
        self.argv = [peer('patroni'), config]
        if os.geteuid() == 0:
            user = pwd.getpwnam('postgres')
            for path in (self.home, config):
                os.chown(path, user.pw_uid, user.pw_gid)
            # Changing the user makes the kernel forget whose death should be ours, so ask for it after that.
            self.argv = ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--pdeathsig', 'KILL', *self.argv]
        self.process = None
        scenario.addCleanup(self.stop)

    def start(self):
        self.process = self.scenario.start(*self.argv, env={'HOME': str(self.home)})
        return self

    def answers(self, path):
        """Whether patroni's own health check says so: /primary, /replica."""
        try:
            return get(f'http://127.0.0.1:{self.api}{path}', timeout=2).status == 200
        except OSError:
            return False

    def becomes(self, path, deadline):
        until(lambda: self.process.must_run() or self.answers(path), deadline, f'{self.name} {path}\n{self.process.tail()}')
        if path == '/primary':  # patroni says so as soon as it has the lock; PostgreSQL still has to be promoted
            until(lambda: self.sql('select pg_is_in_recovery()') == 'f', deadline, f'{self.name} to take writes')

    def sql(self, statement):
        """What psql prints, or None."""
        done = run(POSTGRES_BIN / 'psql', '-h', '127.0.0.1', '-p', self.port, '-U', 'postgres', '-XAtq', '-c', statement,
                   env={'PGCONNECT_TIMEOUT': '2', 'PGPASSWORD': 'x'})
        return done.stdout.strip() if done.returncode == 0 else None

    def _postmaster(self):
        try:
            return int((self.home / 'data/postmaster.pid').read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _runs(self, pid):
        """Whether that process is our server still, and not another that has its number now."""
        try:
            return str(self.home).encode() in pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
        except OSError:
            return False

    def kill(self):
        """Everything at once, as if the machine had lost its power."""
        pid = self._postmaster()
        self.process.kill()
        if pid and self._runs(pid):
            os.kill(pid, signal.SIGKILL)
            until(lambda: not self._runs(pid), 10, 'the end of PostgreSQL')

    def stop(self):
        if self.process:
            self.process.stop()  # patroni takes its server along
            self.kill()


class Patroni(Scenario):
    def setUp(self):
        peer('patroni')
        if not (POSTGRES_BIN / 'postgres').exists():
            raise AssertionError('postgresql-15 is not installed (PEERS=0 leaves it out)')
        if os.geteuid() == 0 and not shutil.which('setpriv'):
            raise AssertionError('PostgreSQL does not run as root, and there is no setpriv')
        os.chmod(self.dir, 0o711)  # postgres must get to its own folder

    def leader(self):
        return self.registry.key('service/batman/leader')

    def test_it_elects_fails_over_and_takes_the_old_leader_back(self):
        data_dir = self.dir / 'registry'
        self.registry = registry = Registry(self, data_dir=data_dir)
        one, two = Node(self, 'one', registry), Node(self, 'two', registry)
        one.start().becomes('/primary', 30)
        self.assertEqual(self.leader(), b'one')
        two.start().becomes('/replica', 30)
        self.assertEqual(one.sql('create table t (x int); insert into t values (1); select count(*) from t'), '1')
        until(lambda: two.sql('select x from t') == '1', 20, 'the row on the replica')
        self.assertEqual({session['Name'] for session in registry.get('/v1/session/list').json()}, {'batman-one', 'batman-two'})
        until(lambda: len(registry.get('/v1/catalog/service/batman').json()) == 2, 10, 'both services registered')

        # A crash of the registry costs nobody the lock: who holds it is on disk.
        lock = registry.get('/v1/kv/service/batman/leader').json()[0]
        registry.process.kill()
        self.registry = registry = Registry(self, data_dir=data_dir, port=registry.port)
        after = registry.get('/v1/kv/service/batman/leader').json()[0]
        self.assertEqual((after['Session'], after['LockIndex'], after['CreateIndex']), (lock['Session'], lock['LockIndex'], lock['CreateIndex']))
        self.assertEqual(one.sql('insert into t values (2); select pg_is_in_recovery()'), 'f')
        until(lambda: two.sql('select count(*) from t') == '2', 20, 'the second row on the replica')

        one.kill()
        two.becomes('/primary', TTL + 20)
        self.assertEqual(self.leader(), b'two')
        self.assertEqual(two.sql('insert into t values (3); select count(*) from t'), '3')

        one.start().becomes('/replica', 30)
        until(lambda: one.sql('select count(*) from t') == '3', 20, 'what the new leader wrote, on the old one')
        self.assertEqual(self.leader(), b'two')


if __name__ == '__main__':
    unittest.main()
