#!/usr/bin/env python3
"""Latency at half of saturation, and memory: the mesh's proxy beside HAProxy and nginx. See bench/README.md.

Exit status: 0 measured, 1 a proxy failed, 2 nothing can be measured here.
"""
import argparse
import datetime
import pathlib
import signal
import socket
import statistics
import sys
import tempfile

import measure
import run
from harness import stop_all, until
from run import say

CONNECTIONS = 16
KEPT = 1000
BURST = 10_000
SETTLE_SECONDS = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=measure.HERE.parent / 'build/release', help='where dpmesh is')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=int, default=3, help='length of one timed part')
    parser.add_argument('--quick', action='store_true', help='2 rounds of 1 s, no burst')
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 2, 1
    return args


def h2load(proxy, folder, core, seconds, rate=None):
    """Requests per second, and of each request how long it took, in microseconds."""
    log, times = folder / 'h2load.log', folder / 'h2load.times'
    log.unlink(missing_ok=True)
    times.unlink(missing_ok=True)
    argv = ['h2load', '--h1', f'-c{CONNECTIONS}', '-m1', f'-D{seconds}', f'--log-file={times}']
    if rate:
        argv.append(f'--rps={max(1, rate // CONNECTIONS)}')
    load = measure.Process(*measure.pinned(core, *argv, proxy.url + '/small'), log=log)
    if load.wait(seconds + 30):
        raise RuntimeError(load.tail())
    took, bad = [], 0
    for line in times.read_text().splitlines():
        _, status, microseconds = map(int, line.split('\t')[:3])
        took.append(microseconds)
        bad += status != 200
    if not took:
        raise RuntimeError(f'{proxy.name} answered nothing')
    return len(took) / seconds, sorted(took), bad


def latencies(args, folder, cores, proxies):
    """proxy -> medians over interleaved rounds, all at half of what the slowest of them can do."""
    most = {proxy.name: h2load(proxy, folder, cores['load'], args.seconds)[0] for proxy in proxies}
    rate = int(min(most.values()) / 2)
    rounds = {proxy.name: [] for proxy in proxies}
    for number in range(args.rounds):
        for proxy in proxies:
            per_s, took, bad = h2load(proxy, folder, cores['load'], args.seconds, rate)
            one = {'per_s': per_s, 'errors': bad} | {f'p{name}_us': measure.quantile(took, share)
                                                      for name, share in (('50', .5), ('99', .99), ('99.9', .999))}
            say(f'round {number + 1}/{args.rounds} {proxy.name:<8} ' + ', '.join(f'{key} {value:.0f}' for key, value in one.items()))
            rounds[proxy.name].append(one)
    return {name: {key: statistics.median(one[key] for one in each) for key in each[0]} for name, each in rounds.items()}


def keep(proxy, count):
    """So many connections, each of which has had one answer."""
    port, kept = int(proxy.url.rsplit(':', 1)[1]), []
    for _ in range(count):
        one = socket.create_connection(('127.0.0.1', port), timeout=10)
        one.sendall(b'GET /small HTTP/1.1\r\nHost: bench\r\n\r\n')
        got = b''
        while len(got) < 128 or not got.endswith(b'x'):
            more = one.recv(4096)
            if not more:
                raise RuntimeError(f'{proxy.name} closed connection {len(kept) + 1}')
            got += more
        kept.append(one)
    return kept


def memory(args, proxies, fresh):
    """proxy -> MiB without a request, KiB for each idle connection, MiB before and after a burst."""
    found = {}
    for proxy in proxies:
        base = measure.rss_mib(proxy.pid)
        kept = keep(proxy, KEPT)
        each = (measure.rss_mib(proxy.pid) - base) * 1024 / KEPT
        for one in kept:
            one.close()
        found[proxy.name] = {'idle_mib': fresh[proxy.name], 'idle_connection_kib': each}
        if proxy.name != 'dpmesh' or args.quick:
            continue  # the others' configurations take 4,096 connections
        for one in keep(proxy, BURST):
            one.close()
        high = measure.rss_mib(proxy.pid)
        say(f'{proxy.name}: {high:.1f} MiB after {BURST} connections; looking again in {SETTLE_SECONDS} s')
        until(measure.window(SETTLE_SECONDS), SETTLE_SECONDS + 5, 'a minute of rest')
        found[proxy.name] |= {'before_burst_mib': base, 'after_burst_mib': high, 'settled_mib': measure.rss_mib(proxy.pid)}
    return found


def main():
    args = arguments()
    if not run.has('nginx', 'h2load'):
        return 2
    cores = run.choose_cores()
    with tempfile.TemporaryDirectory(prefix='mesh-idle-') as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # nginx' worker is another user when we are root
        try:
            backend = run.start_backend(folder, cores['backend'])
            proxies, failed = run.start_proxies(args, folder, cores, backend.url.rsplit(':', 1)[1])
            fresh = {proxy.name: measure.rss_mib(proxy.pid) for proxy in proxies}
            seen = latencies(args, folder, cores, proxies)
            held = memory(args, proxies, fresh)
        except (RuntimeError, AssertionError, OSError) as error:
            say(str(error))
            return 1
        finally:
            stop_all()
    about, date = measure.machine(), datetime.date.today().isoformat()
    lines = [f'{date}, {about["cpu"]}, {about["cores"]} cores, Linux {about["kernel"]}',
             f'HTTP/1.1, 128 B, {CONNECTIONS} connections, at half of what the slowest can do; {args.rounds} rounds of {args.seconds} s, interleaved', '',
             f'{"proxy":<8} {"req/s":>8} {"p50 us":>8} {"p99 us":>8} {"p99.9 us":>8} {"errors":>7}']
    lines += [f'{name:<8} {one["per_s"]:8.0f} {one["p50_us"]:8.0f} {one["p99_us"]:8.0f} {one["p99.9_us"]:8.0f} {one["errors"]:7.0f}' for name, one in seen.items()]
    lines += ['', f'{"proxy":<8} {"idle MiB":>9} {"KiB/idle connection":>20} {"MiB before, after 10,000 connections, 60 s later":>50}']
    for proxy, one in held.items():
        burst = ', '.join(f'{one[key]:.1f}' for key in ('before_burst_mib', 'after_burst_mib', 'settled_mib') if key in one)
        lines.append(f'{proxy:<8} {one["idle_mib"]:9.1f} {one["idle_connection_kib"]:20.2f} {burst:>50}'.rstrip())
    print('\n'.join(lines))
    for what in failed:
        say(f'FAILED: {what}')
    if not args.quick:
        measure.keep(f'{date}-{measure.slug(about)}-idle', lines, {'latency': seen, 'memory': held})
    return 1 if failed else 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
