"""The examples of docs/routing.md, as configurations that run."""
import pathlib
import re

from agents import Agent

PAGE = pathlib.Path(__file__).resolve().parents[2] / 'docs/routing.md'
CONFIG = """
version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners:
  - {{name: web, port: {port}}}
{routes}
services: {{{services}}}
"""


def examples(heading):
    """The YAML under a heading of the page."""
    section = re.search(rf'^## {re.escape(heading)}$(.*?)(?=^## |\Z)', PAGE.read_text(), re.M | re.S)
    return re.findall(r'^```yaml\n(.*?)^```', section[1], re.M | re.S)


def headings():
    return [heading for heading in re.findall(r'^## (.*)$', PAGE.read_text(), re.M) if examples(heading)]


def agent_with(scenario, routes, **origins):
    """An agent with these routes and a service for each origin: its name, and where it is."""
    services = ', '.join(f'{name}: {{endpoints: ["{origin.address}"]}}' for name, origin in origins.items())
    return Agent(scenario, CONFIG, routes=routes, services=services)
