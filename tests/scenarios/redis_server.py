"""A Redis for scenarios."""
from harness import free_port, peer, run, until


class Redis:
    """Debian's redis-server, in memory."""

    def __init__(self, scenario):
        self.scenario, self.port = scenario, free_port()
        self.start()

    def start(self):
        self.process = self.scenario.start(peer('redis-server'), '--port', self.port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no')
        until(lambda: self.cli('PING') == 'PONG', what='redis')

    def cli(self, *words):
        return run(peer('redis-cli'), '-p', self.port, *words).stdout.strip()
