"""A Redis for scenarios."""
from harness import free_port, peer, run, until


class Redis:
    """Debian's redis-server, in memory. `authority`: it speaks TLS only, with a certificate of that one's, and asks for one. `user`: (name, password,
    rules) of the only one that may use it."""

    def __init__(self, scenario, authority=None, user=None):
        self.scenario, self.port, self.options, self.words = scenario, free_port(), [], []
        if authority:
            certificate, key = authority.issue('redis')
            self.options += ['--port', 0, '--tls-port', self.port, '--tls-cert-file', certificate, '--tls-key-file', key,
                             '--tls-ca-cert-file', authority.ca, '--tls-auth-clients', 'yes']
            certificate, key = authority.issue('tester')
            self.words += ['--tls', '--cacert', authority.ca, '--cert', certificate, '--key', key]
        if user:
            name, password, rules = user
            self.options += ['--user', 'default', 'off', '--user', name, 'on', f'>{password}', *rules.split()]
            self.options += ['--user', 'tester', 'on', '>tester', '~*', '&*', '+@all']
            self.words += ['--user', 'tester', '--pass', 'tester', '--no-auth-warning']
        self.start()

    def start(self):
        self.process = self.scenario.start(peer('redis-server'), '--port', self.port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no',
                                           *self.options)
        until(lambda: self.cli('PING') == 'PONG', what='redis')

    def cli(self, *words):
        return run(peer('redis-cli'), '-p', self.port, *self.words, *words).stdout.strip()
