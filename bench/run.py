#!/usr/bin/env python3
"""Measures the mesh's proxy against HAProxy and nginx, and the library against clock_gettime. See bench/README.md.

Exit status: 0 measured, 1 a proxy failed, 2 nothing can be measured here, 3 only the rivals (dpmesh is not built).
"""
import argparse
import datetime
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import measure
import micro
import report
from measure import HERE, Process
from harness import free_port, stop_all, wait_http

SIZES = {'small': 128, 'large': 16 * 1024}
CONNECTIONS = (16, 64, 256)
PATH_OF_SBIN = ':/usr/sbin:/sbin'


class Proxy(Process):
    def __init__(self, name, port, argv, log):
        super().__init__(*argv, log=log)
        self.name, self.url = name, f'http://127.0.0.1:{port}'


def say(text):
    print(text, file=sys.stderr, flush=True)


def has(*programs):
    """Whether all of them are installed; says which one is not. What is in /usr/sbin counts."""
    os.environ['PATH'] = os.environ.get('PATH', '') + PATH_OF_SBIN
    for program in programs:
        if not shutil.which(program):
            say(f'{program} is not installed')
            return False
    return True


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=HERE.parent / 'build/release', help='where dpmesh and *_bench are')
    parser.add_argument('--quick', action='store_true', help='3 rounds of 1 s instead of 5 of 3 s')
    parser.add_argument('--rounds', type=int, help='how often each proxy is measured per row')
    parser.add_argument('--seconds', type=int, help='length of one timed part')
    parser.add_argument('--only', choices=('http1', 'micro'), help='one part only')
    args = parser.parse_args()
    args.rounds = args.rounds or (3 if args.quick else 5)
    args.seconds = args.seconds or (1 if args.quick else 3)
    if args.rounds < 1 or args.seconds < 1:
        parser.error('--rounds and --seconds must be at least 1')
    return args


def choose_cores():
    """Who runs where. The proxy never shares its core if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return {'backend': cores[0], 'load': cores[0], 'proxy': cores[0]}
    return {'backend': cores[0], 'load': cores[1] if len(cores) > 2 else cores[0], 'proxy': cores[-1]}


def fill(template, folder, **values):
    """A config from bench/configs with its @NAME@s replaced; returns its path."""
    text = (HERE / 'configs' / template).read_text()
    for name, value in {'DIR': folder, **values}.items():
        text = text.replace(f'@{name}@', str(value))
    path = folder / template
    path.write_text(text)
    return path


def start_backend(folder, core):
    (folder / 'large').write_bytes(b'x' * SIZES['large'])
    port = free_port()
    config = fill('backend.nginx.conf', folder, PORT=port, SMALL='x' * SIZES['small'])
    argv = measure.pinned(core, 'nginx', '-p', str(folder), '-e', str(folder / 'backend.err'), '-c', str(config))
    backend = Proxy('backend', port, argv, folder / 'backend.log')
    wait_http(backend.url + '/small', process=backend)
    return backend


def commands(args, folder, backend_port, port):
    """name -> how to start each proxy that is here. Configs are filled for the port given."""
    if shutil.which('haproxy'):
        yield 'haproxy', lambda: ['haproxy', '-db', '-f', fill('haproxy.cfg', folder, PORT=port(), BACKEND=backend_port)]
    yield 'nginx', lambda: ['nginx', '-p', folder, '-e', folder / 'nginx.err', '-c',
                            fill('nginx.conf', folder, PORT=port(), BACKEND=backend_port)]
    if (args.build / 'dpmesh').exists():
        yield 'dpmesh', lambda: [args.build / 'dpmesh', 'agent', '--config',
                                 fill('dpmesh.yaml', folder, PORT=port(), BACKEND=backend_port, ADMIN=free_port())]


def start_proxies(args, folder, cores, backend_port):
    """Every proxy that answers both sizes rightly, and what went wrong with the others."""
    proxies, failed = [], []
    for name, command in commands(args, folder, backend_port, lambda: port):
        port = free_port()
        proxy = Proxy(name, port, measure.pinned(cores['proxy'], *map(str, command())), folder / f'{name}.log')
        try:
            for path, size in SIZES.items():
                answer = wait_http(f'{proxy.url}/{path}', process=proxy, deadline=15)
                if len(answer.body) != size:
                    raise AssertionError(f'{name} answered {len(answer.body)} bytes instead of {size}')
            proxies.append(proxy)
        except AssertionError as error:
            proxy.stop()
            failed.append(f'{name}: {error}')
    return proxies, failed


def http1(args, folder, cores):
    """(size -> {(connections, proxy) -> cell}, proxy -> syscalls, failures)"""
    backend = start_backend(folder, cores['backend'])
    proxies, failed = start_proxies(args, folder, cores, backend.url.rsplit(':', 1)[1])
    sizes = {}
    for path in SIZES:
        cells = sizes[path] = {}
        for connections in CONNECTIONS:
            rounds = {proxy.name: [] for proxy in proxies}
            is_cold = not args.quick or connections == CONNECTIONS[0]
            for number in range(-1 if is_cold else 0, args.rounds):  # round -1 warms up
                for proxy in proxies:
                    seconds = args.seconds if number >= 0 else 1
                    one = measure.measure(proxy, backend, folder, cores, f'/{path}', connections, seconds)
                    say(f'{path} {connections:3d} connections, round {number + 1}/{args.rounds}: {proxy.name:<8} '
                        f'{one["requests_per_s"]:7.0f} req/s {one["cpu_us_per_request"]:6.2f} us'
                        + ('  (disturbed)' if measure.is_disturbed(one) else ''))
                    if number >= 0:
                        rounds[proxy.name].append(one)
            for proxy in proxies:
                cells[connections, proxy.name] = {'median': measure.medians(rounds[proxy.name]), 'rounds': rounds[proxy.name],
                                                  'rss_mib': measure.rss_mib(proxy.pid)}
    traced = {}
    for proxy in proxies:
        say(f'syscalls: {proxy.name}')
        traced[proxy.name] = measure.syscalls(proxy, folder, cores, backend.url, '/small', report.GOAL_CONNECTIONS)
    return sizes, traced, failed


def write(lines, data, about, parts):
    folder = HERE / 'results'
    folder.mkdir(exist_ok=True)
    stem = f'{data["date"]}-{measure.slug(about)}{"".join(f"-{part}" for part in parts if part)}'
    (folder / f'{stem}.txt').write_text('\n'.join(lines) + '\n')
    (folder / f'{stem}.json').write_text(json.dumps(data, indent=1) + '\n')
    say(f'written: bench/results/{stem}.txt and .json')


def run(args, folder):
    about, cores = measure.machine(), choose_cores()
    versions = {'haproxy': measure.version(['haproxy', '-v'], r'version (\d[\w.]*)'), 'nginx': measure.version(['nginx', '-v']),
                'wrk': measure.version(['wrk', '-v'])}
    data = {'date': datetime.date.today().isoformat(), 'machine': about, 'cores': cores, 'versions': versions,
            'rounds': args.rounds, 'seconds': args.seconds}
    lines = [f'{data["date"]}  {about["cpu"]}, {about["cores"]} cores, Linux {about["kernel"]}; '
             + ', '.join(f'{name} {number or "missing"}' for name, number in versions.items()), '']
    failed, has_mesh = [], (args.build / 'dpmesh').exists()
    if args.only != 'micro':
        if not versions['nginx'] or not versions['wrk']:
            say('nginx (the backend) and wrk (the load) are needed: apt-get install nginx-light wrk')
            return 2
        if not has_mesh:
            say(f'dpmesh is not in {args.build}: measuring the rivals only')
        sizes, traced, failed = http1(args, folder, cores)
        lines.append(f'Core {cores["proxy"]}: the proxy. Core {cores["backend"]}: nginx as backend. Core {cores["load"]}: wrk -t1. '
                     f'Medians of {args.rounds} interleaved rounds of {args.seconds} s.'
                     + (' ALL ON ONE CORE: only CPU per request means anything.' if len(set(cores.values())) == 1 else ''))
        lines.append('')
        for path, cells in sizes.items():
            lines += report.size_table(f'HTTP/1.1 keep-alive, {SIZES[path]} B bodies', cells)
            lines[-1:] = [*report.goal_lines(cells), '']
        lines += report.syscall_lines(traced) + report.noise_lines(sizes) + ['']
        data['http1'] = [{'body_bytes': SIZES[path], 'connections': connections, 'proxy': name, **cell}
                         for path, cells in sizes.items() for (connections, name), cell in cells.items()]
        data['syscalls_per_request'] = traced
    if args.only != 'http1':
        data['micro_cpu_ns'], wrong = micro.run(args.build, folder, args.quick)
        failed += wrong
        lines += micro.table(data['micro_cpu_ns'])
    print('\n'.join(lines))
    write(lines, data, about, (args.only, args.quick and 'quick'))
    for what in failed:
        say(f'FAILED: {what}')
    return 1 if failed else 0 if has_mesh or args.only == 'micro' else 3


def main():
    os.environ['PATH'] = os.environ.get('PATH', '') + PATH_OF_SBIN
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix='mesh-bench-') as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # nginx' worker is another user when we are root
        try:
            return run(args, folder)
        except (AssertionError, RuntimeError) as error:
            say(f'FAILED: {error}')
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            stop_all()


if __name__ == '__main__':
    sys.exit(main())
