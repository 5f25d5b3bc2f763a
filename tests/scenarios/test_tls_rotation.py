"""Certificates that change while requests run: none fails, and what cannot be used changes nothing."""
import re
import signal
import ssl
import time
import unittest

from agents import agent_before
from certificates import Authority
from harness import Load, Scenario, peer, run, until


class Rotation(Scenario):
    def setUp(self):
        self.authority = Authority(self.dir)
        self.web = self.authority.issue('web')
        self.api = self.origin('api')
        self.agent = agent_before(self, self.api, workers=2, listener=f'tls: {{certificates: [{{certificate: {self.web[0]}, private_key: {self.web[1]}}}]}}')
        self.context = ssl.create_default_context(cafile=self.authority.ca)
        self.url = f'https://localhost:{self.agent.port}/'

    def serial(self):
        done = run(peer('openssl'), 's_client', '-connect', f'127.0.0.1:{self.agent.port}', '-servername', 'localhost')
        return run(peer('openssl'), 'x509', '-noout', '-serial', stdin=done.stdout).stdout

    def file_serial(self):
        return run(peer('openssl'), 'x509', '-noout', '-serial', '-in', self.web[0]).stdout

    def reloads(self, result='ok'):
        return self.agent.metric('mesh_tls_reloads_total', user='listener web', result=result)

    def test_twenty_rotations_under_load_fail_no_request(self):
        with Load(self.url, threads=3, tls=self.context, fresh=True) as fresh, Load(self.url, threads=1, tls=self.context, pause=0.01) as kept:
            fresh.wait(50)
            for number in range(20):
                self.authority.issue('web')  # certificate and key, one after the other
                until(lambda: self.reloads() > number and self.serial() == self.file_serial(), what='the new certificate in use')
            fresh.wait(50)
        self.assertEqual((fresh.failures, kept.failures, kept.reconnects), ({}, {}, 0))
        left = self.agent.metric('mesh_tls_certificate_expiry_timestamp_seconds', user='listener web') - time.time()
        self.assertTrue(0 < left < 2 * 86400, left)

    def test_a_bad_certificate_keeps_the_old_one_and_says_so(self):
        before = self.serial()
        good = self.web[0].read_text()
        with Load(self.url, threads=2, tls=self.context, fresh=True) as load:
            load.wait(20)
            self.web[0].write_text('-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n')
            until(lambda: self.reloads('error') == 1, what='counted')
            load.wait(20)
            self.authority.issue('web', key=self.authority.issue('other')[1])  # of another key
            until(lambda: self.reloads('error') == 2, what='counted')
            self.web[0].unlink()
            until(lambda: self.reloads('error') == 3, what='counted')
            load.wait(20)
            self.assertEqual(self.serial(), before)
            self.web[0].write_text(good)
            until(lambda: self.reloads() == 1, what='good again')
        self.assertEqual(load.failures, {})
        log = self.agent.process.log_path.read_text()
        self.assertIn('certificates cannot be used: the old ones stay in use', log)
        self.assertNotIn('PRIVATE KEY', log)

    def test_sighup_reads_them_and_gives_fresh_ticket_keys(self):
        ticket = self.dir / 'ticket'
        ask = [peer('openssl'), 's_client', '-connect', f'127.0.0.1:{self.agent.port}', '-ign_eof']
        get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
        self.assertIn('New, TLSv1.3', run(*ask, '-sess_out', ticket, stdin=get).stdout)
        self.assertIn('Reused, TLSv1.3', run(*ask, '-sess_in', ticket, stdin=get).stdout)
        self.agent.process.send_signal(signal.SIGHUP)
        until(lambda: self.reloads() == 1, what='read anew')
        self.assertIn('New, TLSv1.3', run(*ask, '-sess_in', ticket, stdin=get).stdout)

    def test_a_link_that_is_pointed_elsewhere_is_followed(self):
        for number in 1, 2:
            folder = self.dir / f'v{number}'
            folder.mkdir()
            self.authority.issue('web')
            for name in 'web.pem', 'web.key':
                (folder / name).write_bytes((self.dir / name).read_bytes())
        data, fresh = self.dir / 'data', self.dir / 'fresh'
        data.symlink_to('v1')
        listener = f'tls: {{certificates: [{{certificate: {data}/web.pem, private_key: {data}/web.key}}]}}'
        self.agent = agent_before(self, self.api, listener=listener)
        self.web = (data / 'web.pem', data / 'web.key')
        before = self.serial()
        self.assertRegex(before, re.compile('serial=[0-9A-F]+'))
        fresh.symlink_to('v2')
        fresh.rename(data)
        until(lambda: self.serial() == self.file_serial() != before, what='the new certificate in use')


if __name__ == '__main__':
    unittest.main()
