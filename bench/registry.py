#!/usr/bin/env python3
"""Measures the embedded registry, durable, beside a real Consul whose disk is memory: rates, latency, fan-out, storms, memory; and what the library's callers feel.

Needs dpmesh, bench/registry_load and bench/mesh_load in --build (target benches). Without Consul (tools/peers/consul.sh) ours is
measured alone. See bench/README.md. Exit status: 0 measured, 1 something failed.
"""
import argparse
import datetime
import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import measure
from measure import HERE, Process
from harness import free_port, stop_all, wait_http

FANOUTS = ((1000, 10), (1000, 100), (5000, 10), (5000, 100))
LARGE_FANOUTS = ((9000, 10), (9000, 100))
RECORDED = {  # 13-fanout of the research: Consul 1.16.4, p99 in ms, best and worst round
    (1000, 10): (90.3, 291.0), (1000, 100): (1204.7, 1398.9), (5000, 10): (487.1, 780.3), (5000, 100): (3430.7, 6353.0)}


def say(text):
    print(text, file=sys.stderr, flush=True)


class Server:
    """dpmesh registry on a disk, or Consul in memory."""

    def __init__(self, name, argv, folder, port):
        self.name, self.port, self.argv, self.folder = name, port, list(map(str, argv)), folder
        self.url = f'http://127.0.0.1:{port}'
        self.start()

    def start(self):
        """Seconds until it answers."""
        begin = time.monotonic()
        self.process = Process(*self.argv, log=self.folder / f'{self.name}.log')
        wait_http(f'{self.url}/v1/status/leader', lambda answer: answer.status == 200 and len(answer.body) > 4,
                  deadline=60, process=self.process)
        return time.monotonic() - begin

    def rss_mib(self):
        return measure.rss_mib(self.process.pid)

    def cpu(self):
        return measure.cpu_seconds(self.process.pid)


def load(args, server, *words, deadline=600, program='registry_load', port=None):
    done = subprocess.run([args.build / 'bench' / program, str(port or server.port), *map(str, words)],
                          capture_output=True, text=True, timeout=deadline, check=False)
    if done.returncode:
        raise RuntimeError(f'{server.name}: {" ".join(map(str, words))}: {done.stderr.strip()} {done.stdout.strip()[-300:]}')
    return [json.loads(line) for line in done.stdout.splitlines()]


def ours(args, folder, name='dpmesh'):
    port, state = free_port(), folder / f'{name}-state'
    return Server(name, [args.build / 'dpmesh', 'registry', '--port', port, '--data-dir', state, '--no-dns', '--connections-per-client', 0, '--log-level',
                         'warn'],
                  folder, port)


def consul(folder):
    found = subprocess.run([HERE.parent / 'tools/peers/consul.sh'], capture_output=True, text=True, check=False)
    if found.returncode or os.environ.get('PEERS') == '0':
        say(f'Consul is left out: {found.stderr.strip()[-200:]}')
        return None
    port, state = free_port(), tempfile.TemporaryDirectory(prefix='mesh-bench-consul-', dir='/dev/shm')
    config = folder / 'consul.json'
    # A server as in production, but for its disk; -dev would indent its answers to twice their size.
    config.write_text(json.dumps({
        'server': True, 'bootstrap_expect': 1, 'data_dir': state.name, 'performance': {'raft_multiplier': 1},
        'bind_addr': '127.0.0.1', 'client_addr': '127.0.0.1', 'advertise_addr': '127.0.0.1',
        'disable_update_check': True, 'log_level': 'ERR', 'limits': {'http_max_conns_per_client': 15000},
        'ports': {'http': port, 'dns': -1, 'grpc': -1, 'server': free_port(), 'serf_lan': free_port(), 'serf_wan': -1}}))
    server = Server('consul', [found.stdout.strip(), 'agent', '-config-file', config], folder, port)
    server.state = state  # as long as the server
    return server


def rates(args, servers, data, lines):
    lines += [f'{"":34}' + ''.join(f'{server.name:>14}' for server in servers) + f'{"ratio":>9}']
    jobs = [('registrations/s, 1 client', ('register', 1, args.seconds)),
            ('registrations/s, 16 clients', ('register', 16, args.seconds)),
            ('health queries/s of 40 instances', ('query', 16, 40, args.seconds))]
    for title, words in jobs:
        cells = {}
        for server in servers:
            cells[server.name] = []
        for _ in range(args.rounds):  # interleaved
            for server in servers:
                before, begin = server.cpu(), time.monotonic()
                one = load(args, server, *words)[0]
                one['cpu_us'] = (server.cpu() - before) / one['count'] * 1e6
                one['wall'] = time.monotonic() - begin
                cells[server.name].append(one)
                say(f'{title}: {server.name} {one["per_second"]:.0f}/s, {one["cpu_us"]:.0f} us CPU')
        data[title] = cells
        medians = [statistics.median(one['per_second'] for one in cells[server.name]) for server in servers]
        cpu = [statistics.median(one['cpu_us'] for one in cells[server.name]) for server in servers]
        lines.append(f'{title:34}' + ''.join(f'{value:14.0f}' for value in medians)
                     + (f'{medians[0] / medians[1]:9.1f}' if len(medians) > 1 else ''))
        lines.append(f'{"  CPU us each":34}' + ''.join(f'{value:14.1f}' for value in cpu))
    lines.append('')


def latency(args, servers, folder, data, lines):
    lines.append('registration -> the waiting watcher has the answer, ms')
    lines.append(f'{"":34}{"p50":>10}{"p99":>10}{"worst":>10}')
    # Where an fsync costs nothing: all that is not the disk's, without the disk's good and bad days in it.
    with tempfile.TemporaryDirectory(prefix='mesh-bench-tmpfs-', dir='/dev/shm') as memory:
        free = ours(args, pathlib.Path(memory), 'dpmesh-on-a-tmpfs')
        latency_of([*servers, free], args, folder, data, lines)
        free.process.stop()
    lines.append('')


def latency_of(servers, args, folder, data, lines):
    for server in servers:
        one = load(args, server, 'latency', args.latency_rounds, folder)[0]
        data.setdefault('latency', {})[server.name] = one
        lines.append(f'{server.name:34}{one["p50"]:10.2f}{one["p99"]:10.2f}{one["last"]:10.2f}')
        if server.name == 'dpmesh':
            for what in ('fsync', 'beyond_fsync'):
                lines.append(f'{"  " + what:34}{one[what]["p50"]:10.2f}{one[what]["p99"]:10.2f}{one[what]["last"]:10.2f}')


def picker(args, folder, data, lines):
    """What the library's callers feel: a mesh registers, another one's picker gives it out."""
    server = ours(args, folder, 'picker')
    one = load(args, server, 'picker', args.picker_rounds, folder, program='mesh_load')[0]
    data['picker'] = one
    lines.append('register_service() called in one mesh -> given out by the picker of another, ten endpoints, ms')
    lines.append(f'{"":34}{"p50":>10}{"p99":>10}{"worst":>10}')
    for title, row in (('all of it', one), ('  fsync', one['fsync']), ('  beyond_fsync', one['beyond_fsync']), ('  the call returns after', one['call'])):
        lines.append(f'{title:34}{row["p50"]:10.2f}{row["p99"]:10.2f}{row["last"]:10.2f}')
    lines.append('')
    server.process.stop()


def change(args, folder, data, lines):
    """What a change in a large service costs a mesh that calls and watches it, from the answer on the wire to the picker."""
    lines.append('CPU of a mesh for one change in a service, ms: reading, decoding, difference, policies, picker, freeing the old set')
    lines.append(f'{"endpoints, and how it is told":34}{"bytes":>10}{"p50":>10}{"p99":>10}{"idle p50":>10}')
    for count in (100, 1000, 10_000):
        server = ours(args, folder, f'change{count}')
        plain = free_port()
        forwarder = Process(sys.executable, str(HERE / 'without_delta.py'), str(plain), str(server.port), log=folder / 'without_delta.log')
        wait_http(f'http://127.0.0.1:{plain}/v1/status/leader', lambda answer: answer.status == 200, deadline=60, process=forwarder)
        for how, port in (('what has changed', server.port), ('in full', plain)):
            one = load(args, server, 'change', count, args.change_rounds, program='mesh_load', port=port)[0]
            data.setdefault('change', []).append({**one, 'told': how})
            lines.append(f'{f"{count}, {how}":34}{one["bytes"]:10.0f}{one["p50"]:10.2f}{one["p99"]:10.2f}{one["idle"]["p50"]:10.2f}')
            say(lines[-1])
        forwarder.stop()
        server.process.stop()
    lines.append('')


def fanout(args, servers, data, lines):
    lines.append(f'one check flips: when do all who wait have the answer? ms, median of {args.rounds} rounds; CPU of the server and of the load beside it, us a watcher')
    lines.append(f'{"watchers x instances":34}{"bytes":>9}{"acked":>9}{"first":>9}{"p50":>9}{"p99":>9}{"last":>9}{"server":>9}{"load":>7}   p99: Consul recorded, ratio')
    for watchers, instances in (*FANOUTS, *LARGE_FANOUTS):
        p99 = {}
        for server in servers:
            if server.name == 'consul' and (watchers, instances) in LARGE_FANOUTS:
                continue
            # Consul needs seconds for each of the largest.
            count = 1 if server.name == 'consul' and watchers * instances >= 500_000 else args.rounds
            rounds = load(args, server, 'fanout', watchers, instances, count, server.process.pid)
            data.setdefault('fanout', []).append({'server': server.name, 'rounds': rounds})
            mid = {key: statistics.median(one[key] for one in rounds) for key in
                   ('bytes', 'acknowledged', 'first', 'p50', 'p99', 'last', 'server_cpu_us', 'load_cpu_us')}
            recorded = RECORDED.get((watchers, instances))
            p99[server.name] = mid['p99']
            note = f'   {recorded[0]:.0f}-{recorded[1]:.0f}, {mid["p99"] / recorded[0]:.3f} of the best' if recorded and server.name == 'dpmesh' else ''
            if server.name == 'consul':
                note = f'   dpmesh: {p99["dpmesh"] / mid["p99"]:.3f} of this'
            lines.append(f'{server.name + f" {watchers} x {instances}":34}{mid["bytes"]:9.0f}{mid["acknowledged"]:9.1f}{mid["first"]:9.1f}'
                         f'{mid["p50"]:9.1f}{mid["p99"]:9.1f}{mid["last"]:9.1f}'
                         f'{mid["server_cpu_us"]:9.1f}{mid["load_cpu_us"]:7.1f}{note}')
            say(lines[-1])
    lines.append('')


def blocked_memory(args, folder, data, lines):
    """RSS while so many wait."""
    server = ours(args, folder, 'blocked')
    load(args, server, 'fanout', 10, 10, 1)
    empty = server.rss_mib()
    child = subprocess.Popen([args.build / 'bench/registry_load', str(server.port), 'fanout', '9000', '10', '1'], stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        peak = max(peak, server.rss_mib())
        time.sleep(0.05)
    data['blocked'] = {'watchers': 9000, 'rss_mib': [empty, peak]}
    lines.append(f'9000 blocked queries: RSS {empty:.1f} -> {peak:.1f} MiB at its peak, answers included: {(peak - empty) * 1024 / 9000:.1f} KiB each')
    server.process.stop()


def scale(args, folder, data, lines):
    server = ours(args, folder, 'scale')
    empty = server.rss_mib()
    one = load(args, server, 'fill', 1000, 100, 64)[0]
    full = server.rss_mib()
    server.process.kill()
    again = server.start()
    data['scale'] = {**one, 'rss_mib': [empty, full, server.rss_mib()], 'recovery_seconds': again}
    lines.append(f'1,000 services, {one["instances"]} instances, each with a check: {one["per_second"]:.0f} registrations/s durable; '
                 f'RSS {empty:.1f} -> {full:.1f} MiB, {(full - empty) * 1024 / one["instances"]:.2f} KiB an instance; '
                 f'killed, it answers again after {again:.2f} s')
    server.process.stop()


def recovery(args, folder, data, lines):
    server = ours(args, folder, 'recovery')
    load(args, server, 'fill', 10_000, 1, 64)
    load(args, server, 'register', 16, 1)
    took = []
    for _ in range(max(3, args.rounds)):
        server.process.kill()
        took.append(server.start())
    data['recovery'] = took
    lines.append(f'killed with 10,000 services: answers again after {statistics.median(took):.3f} s (worst {max(took):.3f} s), process start included')
    one = load(args, server, 'storm', 10_000, 10)[0]
    data['storm'] = {**one, 'rss_mib': server.rss_mib()}
    lines.append(f'10,000 new clients register within 10 s on top: p50 {one["p50"]:.2f} ms, p99 {one["p99"]:.2f} ms, worst {one["last"]:.1f} ms; meanwhile a '
                 f'query each 10 ms is answered in p50 {one["probe"]["p50"]:.2f}, p99 {one["probe"]["p99"]:.2f}, worst {one["probe"]["last"]:.2f} ms; '
                 f'RSS {server.rss_mib():.1f} MiB')
    server.process.kill()
    back = server.start()
    one = load(args, server, 'herd', 10_000)[0]
    data['herd'] = {**one, 'restart_seconds': back, 'rss_mib': server.rss_mib()}
    lines.append(f'restarted, 10,000 watchers come back at once: first answer after {one["first"]:.0f} ms, last after {one["last"]:.0f} ms (connecting included); '
                 f'RSS {server.rss_mib():.1f} MiB')
    server.process.stop()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=HERE.parent / 'build/release')
    parser.add_argument('--quick', action='store_true', help='one round of one second')
    parser.add_argument('--rounds', type=int)
    parser.add_argument('--seconds', type=int)
    parser.add_argument('--disk', type=pathlib.Path, help='where the durable state goes (default: a temporary folder)')
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (1 if args.quick else 2)
    args.latency_rounds = 100 if args.quick else 500
    args.picker_rounds = 40 if args.quick else 200
    args.change_rounds = 8 if args.quick else 40
    return args


def run(args, folder):
    about = measure.machine()
    began, steal = time.monotonic(), sum(sum(measure.core_seconds(core)) for core in sorted(os.sched_getaffinity(0)))
    servers = [ours(args, folder)]
    rival = consul(folder)
    version = ''
    if rival:
        servers.append(rival)
        version = measure.version([rival.argv[0], 'version'], r'v([\d.]+)') or ''
    data = {'date': datetime.date.today().isoformat(), 'machine': about, 'load_before': os.getloadavg(), 'consul': version,
            'rounds': args.rounds, 'seconds': args.seconds}
    lines = [f'{data["date"]}  {about["cpu"]}, {about["cores"]} cores, Linux {about["kernel"]}; load of the machine before: {data["load_before"][0]:.1f}',
             f'dpmesh: durable, on a disk. consul {version}: its state on a tmpfs. Client and server share the cores.', '']
    rates(args, servers, data, lines)
    latency(args, servers, folder, data, lines)
    picker(args, folder, data, lines)
    change(args, folder, data, lines)
    fanout(args, servers, data, lines)
    for server in servers:
        data.setdefault('rss_mib', {})[server.name] = server.rss_mib()
        lines.append(f'RSS of {server.name} after all that: {server.rss_mib():.1f} MiB')
        server.process.stop()
    blocked_memory(args, folder, data, lines)
    recovery(args, folder, data, lines)
    scale(args, folder, data, lines)
    used = sum(sum(measure.core_seconds(core)) for core in sorted(os.sched_getaffinity(0))) - steal
    data['seconds_total'], data['load_after'] = time.monotonic() - began, os.getloadavg()
    lines.append(f'The whole run: {data["seconds_total"]:.0f} s, the cores were busy {used / data["seconds_total"] / about["cores"]:.0%} of it.')
    print('\n'.join(lines))
    stem = f'{data["date"]}-{measure.slug(about)}-registry' + ('-quick' if args.quick else '')
    measure.keep(stem, lines, data)
    say(f'written: bench/results/{stem}.txt and .json')


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix='mesh-bench-', dir=args.disk) as name:
        try:
            run(args, pathlib.Path(name))
            return 0
        except (AssertionError, RuntimeError) as error:
            say(f'FAILED: {error}')
            return 1
        finally:
            stop_all()


if __name__ == '__main__':
    sys.exit(main())
