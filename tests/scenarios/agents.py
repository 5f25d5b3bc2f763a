"""An agent in front of origins, as most scenarios want one."""
import re

from calls import get, wait_http
from programs import binary, free_port

CONFIG = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
workers: {workers}
{top}
listeners:
  - {{name: web, port: {port}{listener}}}
routes: [{{service: api}}]
defaults: {{policy: {{{policy}}}}}
services: {{api: {{endpoints: [{endpoints}]}}}}
"""


class Agent:
    """`dpmesh agent` with its configuration file; ready when made.

    The text may hold {port} and {admin}: `port` is the listener's, `admin` that of its own API.
    """

    def __init__(self, scenario, text, env=None, name='mesh.yaml', ready=True, **values):
        self.port, self.admin = free_port(), free_port()
        config = scenario.write(name, text.format(port=self.port, admin=self.admin, **values))
        self.process = scenario.start(binary('dpmesh'), 'agent', '--config', config, env=env)
        if ready:
            wait_http(f'http://127.0.0.1:{self.admin}/ready', process=self.process)

    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}'

    def page(self, path):
        """A page of the admin API, as what its JSON says."""
        return get(f'http://127.0.0.1:{self.admin}{path}').json()

    def endpoints(self, service='api'):
        return {endpoint['address']: endpoint for endpoint in self.page('/endpoints')[service]['endpoints']}

    def metric(self, name, **labels):
        """The sum of the samples with that name and those labels (others may be there too)."""
        total = 0.0
        for line in get(f'http://127.0.0.1:{self.admin}/metrics').text.splitlines():
            found = re.fullmatch(r'(\w+)(?:\{(.*)\})? (\S+)', line)
            if not found or found[1] != name:
                continue
            has = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ''))
            if all(has.get(key) == value for key, value in labels.items()):
                total += float(found[3])
        return total


def agent_before(scenario, *origins, policy='', listener='', workers=1, top='', env=None):
    """An agent whose listener `web` leads to the service `api` at those origins."""
    return Agent(scenario, CONFIG, env=env, policy=policy, listener=listener and ', ' + listener, workers=workers, top=top,
                 endpoints=', '.join(f'"{origin.address}"' for origin in origins))
