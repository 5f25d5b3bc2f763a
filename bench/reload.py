#!/usr/bin/env python3
"""What a reload costs those who are calling: latency while all services are replaced, and memory after many. See bench/README.md.

Exit status: 0 measured, 1 the agent failed, 2 nothing can be measured here.
"""
import argparse
import datetime
import pathlib
import signal
import statistics
import sys
import tempfile
import threading
import time

import idle
import measure
import run
from calls import request
from harness import free_port, stop_all, wait_http
from run import say

SERVICES = 3000  # three times over: a process has 10,000 in its life, and then refuses more
ROUTED = 1000  # of them have a route of their own: a configuration has 100,000 values at most
RELOADS = 2_000
RELOAD_SECONDS_MAX = 300


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=measure.HERE.parent / 'build/release', help='where dpmesh is')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=int, default=20, help='length of one timed part; a reload should fit into it')
    parser.add_argument('--services', type=int, default=SERVICES)
    parser.add_argument('--reloads', type=int, default=RELOADS)
    parser.add_argument('--quick', action='store_true', help='2 rounds of 3 s, 1,000 services, 100 reloads')
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.services, args.reloads = 2, 3, 1000, 100
    return args


class Agent(run.Proxy):
    """One that is told to read its configuration again."""

    def __init__(self, args, folder, core, backend):
        self.file, self.backend, self.admin, self.listens = folder / 'mesh.yaml', backend, free_port(), free_port()
        self.configure('first', 1)
        super().__init__('dpmesh', self.listens, measure.pinned(core, str(args.build / 'dpmesh'), 'agent', '--config', str(self.file)),
                         folder / 'dpmesh.log')
        wait_http(self.url + '/small', process=self, deadline=15)

    def configure(self, name, services):
        """So many services in all: of that name, the first with routes of their own, and one for everybody else."""
        lines = ['version: 1', 'registry: {kind: static}', f'admin: {{port: {self.admin}}}', 'workers: 1',
                 f'listeners: [{{name: bench, address: 127.0.0.1, port: {self.listens}}}]', 'routes:',
                 *(f'  - {{hosts: ["{name}-{i}.example"], service: {name}-{i}}}' for i in range(min(services - 1, ROUTED))), '  - {service: stays}', 'services:',
                 *(f'  {name}-{i}: {{endpoints: ["127.0.0.1:{self.backend}"]}}' for i in range(services - 1)),
                 f'  stays: {{endpoints: ["127.0.0.1:{self.backend}"]}}']
        self.file.write_text('\n'.join(lines) + '\n')

    def reload(self):
        """How long it took, in milliseconds."""
        began = time.monotonic()
        answer = request('POST', f'http://127.0.0.1:{self.admin}/config/reload', timeout=RELOAD_SECONDS_MAX)
        if answer.status != 200 or answer.json()['result'] != 'applied':
            raise RuntimeError(f'reload: {answer.status} {answer.text[:300]}')
        return (time.monotonic() - began) * 1000


def latencies(args, folder, cores, agent):
    """Rounds without and with a replacement of all services, in turn: [{p50, p99, ...}] of each."""
    agent.configure('blue', args.services)
    say(f'{args.services} services: {agent.reload():.0f} ms')
    rate = int(idle.h2load(agent, folder, cores['load'], 2)[0] / 2)
    rounds = {'quiet': [], 'reload': []}
    for number in range(args.rounds):
        for kind, found in rounds.items():
            took_ms, failed = [], []
            if kind == 'reload':
                agent.configure('green' if number % 2 == 0 else 'blue', args.services)  # the names come again

            def replace(took_ms=took_ms, failed=failed):
                try:
                    took_ms.append(agent.reload())
                except (RuntimeError, OSError) as error:
                    failed.append(error)
            timer = threading.Timer(1, replace)
            if kind == 'reload':
                timer.start()
            _, took, bad = idle.h2load(agent, folder, cores['load'], args.seconds, rate)
            if kind == 'reload':
                timer.join()
            if failed:
                raise RuntimeError(str(failed[0]))
            one = {'errors': bad, 'p50_us': measure.quantile(took, .5), 'p99_us': measure.quantile(took, .99), 'max_us': took[-1], 'reload_ms': took_ms[0] if took_ms else 0}
            say(f'round {number + 1}/{args.rounds} {kind:<6} ' + ', '.join(f'{key} {value:.0f}' for key, value in one.items()))
            found.append(one)
    return rounds


def memory(args, agent):
    """MiB after each tenth of the reloads, every one of which changes a service and a route."""
    found = []
    for number in range(args.reloads):
        agent.configure(f'turn{number % 7}', 10)
        agent.reload()
        if (number + 1) % max(1, args.reloads // 10) == 0:
            found.append(measure.rss_mib(agent.pid))
            say(f'{number + 1} reloads: {found[-1]:.1f} MiB')
    return found


def main():
    args = arguments()
    if not run.has('nginx', 'h2load'):
        return 2
    if not (args.build / 'dpmesh').exists():
        say('dpmesh is not built')
        return 2
    cores = run.choose_cores()
    with tempfile.TemporaryDirectory(prefix='mesh-reload-') as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        try:
            backend = run.start_backend(folder, cores['backend'])
            agent = Agent(args, folder, cores['proxy'], backend.url.rsplit(':', 1)[1])
            rounds = latencies(args, folder, cores, agent)
            mib = memory(args, agent)
        except (RuntimeError, AssertionError, OSError) as error:
            say(str(error))
            return 1
        finally:
            stop_all()
    about, date = measure.machine(), datetime.date.today().isoformat()
    lines = [f'{date}, {about["cpu"]}, {about["cores"]} cores, Linux {about["kernel"]}',
             f'HTTP/1.1, 128 B, at half of saturation; {args.rounds} rounds of {args.seconds} s, interleaved; {args.services} services, {min(args.services, ROUTED)} routes', '',
             f'{"":<8} {"p50 us":>8} {"p99 us":>8} {"max us":>8} {"reload ms":>10} {"errors":>7}']
    for kind, found in rounds.items():
        one = {key: statistics.median(each[key] for each in found) for key in found[0]}
        lines.append(f'{kind:<8} {one["p50_us"]:8.0f} {one["p99_us"]:8.0f} {one["max_us"]:8.0f} {one["reload_ms"]:10.0f} {sum(each["errors"] for each in found):7.0f}')
    lines += ['', f'MiB over {args.reloads} reloads of 10 services: ' + ', '.join(f'{each:.1f}' for each in mib)]
    print('\n'.join(lines))
    if not args.quick:
        measure.keep(f'{date}-{measure.slug(about)}-reload', lines, {'latency': rounds, 'memory_mib': mib})
    return 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
