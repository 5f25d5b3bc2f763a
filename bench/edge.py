#!/usr/bin/env python3
"""TLS handshakes, TLS bulk and raw TCP: the mesh's proxy beside HAProxy, in one run. See bench/README.md.

Exit status: 0 measured, 1 a proxy failed, 2 nothing can be measured here.
"""
import argparse
import datetime
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import measure
from measure import HERE, Process
from harness import free_port, stop_all, until

sys.path.insert(0, str(HERE.parent / 'tests/scenarios'))
from certificates import Authority  # noqa: E402

BULK_BYTES = 256 << 20
HANDSHAKE_CONNECTIONS = 16

HAPROXY = """
global
    nbthread 1
    maxconn 4096
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend tls
    mode http
    option http-keep-alive
    http-reuse always
    bind 127.0.0.1:{tls} ssl crt {folder}/web.both alpn http/1.1 ssl-min-ver TLSv1.2
    default_backend http
frontend tcp
    mode tcp
    bind 127.0.0.1:{tcp}
    default_backend plain
frontend splice
    mode tcp
    option splice-auto
    bind 127.0.0.1:{splice}
    default_backend spliced
backend http
    mode http
    http-reuse always
    server backend 127.0.0.1:{backend}
backend plain
    mode tcp
    server backend 127.0.0.1:{backend}
backend spliced
    mode tcp
    option splice-auto
    server backend 127.0.0.1:{backend}
"""
DPMESH = """
registry: {{kind: static}}
admin: {{port: {admin}}}
workers: 1
listeners:
  - {{name: tls, port: {tls}, tls: {{certificates: [{{certificate: {folder}/web.pem, private_key: {folder}/web.key}}]}}}}
  - {{name: tcp, port: {tcp}, protocol: tcp, tcp: {{service: backend}}}}
routes: [{{service: backend}}]
services: {{backend: {{endpoints: ["127.0.0.1:{backend}"]}}}}
"""
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; open_file_cache max=10;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{backend} backlog=4096; root {folder};
    location = /small {{ return 200 "{small}"; }}
  }}
}}
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments(about):
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=HERE.parent / 'build/release', help='where dpmesh is')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=int, default=3, help='length of one timed part')
    parser.add_argument('--quick', action='store_true', help='2 rounds of 1 s')
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 2, 1
    return args


def cores():
    all_of_them = sorted(os.sched_getaffinity(0))
    return {'load': all_of_them[0], 'proxy': all_of_them[-1]}


class Proxy(Process):
    def __init__(self, name, core, argv, log, **ports):
        super().__init__(*measure.pinned(core, *map(str, argv)), log=log)
        self.name, self.ports = name, ports


def start(args, folder, where):
    """The proxies that are here: haproxy, and dpmesh if it is built."""
    backend = free_port()
    (folder / 'nginx.conf').write_text(NGINX.format(backend=backend, folder=folder, small='x' * 128))
    (folder / 'large').write_bytes(b'x' * (16 << 10))
    with open(folder / 'bulk', 'wb') as bulk:
        bulk.write(os.urandom(1 << 20) * (BULK_BYTES >> 20))
    nginx = Proxy('nginx', where['load'], ['nginx', '-p', folder, '-e', folder / 'nginx.err', '-c', folder / 'nginx.conf'], folder / 'nginx.log')
    proxies = []
    if shutil.which('haproxy', path=os.environ['PATH'] + ':/usr/sbin'):
        ports = {'tls': free_port(), 'tcp': free_port(), 'splice': free_port()}
        (folder / 'haproxy.cfg').write_text(HAPROXY.format(folder=folder, backend=backend, **ports))
        proxies.append(Proxy('haproxy', where['proxy'], ['haproxy', '-db', '-f', folder / 'haproxy.cfg'], folder / 'haproxy.log', **ports))
    if (args.build / 'dpmesh').exists():
        ports = {'tls': free_port(), 'tcp': free_port()}
        (folder / 'mesh.yaml').write_text(DPMESH.format(folder=folder, backend=backend, admin=free_port(), **ports))
        proxies.append(Proxy('dpmesh', where['proxy'], [args.build / 'dpmesh', 'agent', '--config', folder / 'mesh.yaml'], folder / 'dpmesh.log', **ports))
    for proxy in proxies:
        for kind, port in proxy.ports.items():
            url = f'http{"s" if kind == "tls" else ""}://127.0.0.1:{port}/small'
            until(lambda url=url: curl(url).returncode == 0, 15, f'{proxy.name} answers at {url}')
    return nginx, proxies


def curl(url):
    return subprocess.run(['curl', '-fsSk', '-o', '/dev/null', '--max-time', '60', url], capture_output=True, text=True, check=False)


def wrk(proxy, where, folder, path, connections, seconds, headers=()):
    """CPU per request, requests per second."""
    argv = measure.wrk_argv(where['load'], f'https://127.0.0.1:{proxy.ports["tls"]}{path}', connections, seconds)
    for header in headers:
        argv[-1:-1] = ['-H', header]
    log = folder / 'wrk.log'
    log.unlink(missing_ok=True)
    before = measure.cpu_seconds(proxy.pid)
    load = Process(*argv, log=log)
    if load.wait(seconds + 30):
        raise RuntimeError(load.tail())
    used = measure.cpu_seconds(proxy.pid) - before
    seen = measure.parse_wrk(load.log())
    return {'cpu_us': used * 1e6 / seen['requests'], 'per_s': seen['requests'] / seen['seconds'], 'errors': seen['errors']}


def bulk(proxy, kind):
    """CPU seconds per GB, and GB per second, of one file."""
    scheme = 'https' if kind == 'tls' else 'http'
    before = measure.cpu_seconds(proxy.pid)
    done = subprocess.run(['curl', '-sSk', '-o', '/dev/null', '-w', '%{size_download} %{time_total}', f'{scheme}://127.0.0.1:{proxy.ports[kind]}/bulk'],
                          capture_output=True, text=True, check=True)
    size, seconds = map(float, done.stdout.split())
    if size != BULK_BYTES:
        raise RuntimeError(f'{proxy.name} gave {size} bytes')
    return {'cpu_s_per_gb': (measure.cpu_seconds(proxy.pid) - before) / (size / 1e9), 'gb_per_s': size / 1e9 / seconds, 'errors': 0}


def rows(args, folder, where, proxies):
    """(row, proxy) -> what each round gave; rounds are interleaved."""
    found = {}
    for number in range(-1, args.rounds):  # round -1 warms up
        for proxy in proxies:
            parts = [
                ('TLS handshakes', lambda p=proxy: wrk(p, where, folder, '/small', HANDSHAKE_CONNECTIONS, args.seconds, ['Connection: close'])),
                ('TLS small, kept', lambda p=proxy: wrk(p, where, folder, '/small', 64, args.seconds)),
                ('TLS 16 KiB, kept', lambda p=proxy: wrk(p, where, folder, '/large', 64, args.seconds)),
                ('TLS bulk', lambda p=proxy: bulk(p, 'tls')),
                ('TCP bulk', lambda p=proxy: bulk(p, 'tcp')),
            ]
            if 'splice' in proxy.ports:
                parts.append(('TCP bulk, splice-auto', lambda p=proxy: bulk(p, 'splice')))
            for row, part in parts:
                one = part()
                say(f'round {number + 1}/{args.rounds} {proxy.name:<8} {row}: ' + ', '.join(f'{key} {value:.3f}' for key, value in one.items()))
                if number >= 0:
                    found.setdefault((row, proxy.name), []).append(one)
    return found


def table(found, rivals=('haproxy',)):
    """Medians with their spread, and the CPU as a ratio to each rival's."""
    lines = [f'{"":<22} {"proxy":<8} {"CPU":>14} {"+-%":>5} {"rate":>14} {"errors":>6}' + ''.join(f' {"x " + rival:>9}' for rival in rivals)]
    middle = {key: {name: statistics.median(one[name] for one in rounds) for name in rounds[0]} for key, rounds in found.items()}
    for (row, name), one in sorted(middle.items()):
        cost, unit, rate, rate_unit = ('cpu_us', 'us', 'per_s', '/s') if 'cpu_us' in one else ('cpu_s_per_gb', 's/GB', 'gb_per_s', 'GB/s')
        values = [each[cost] for each in found[row, name]]
        spread = 50 * (max(values) - min(values)) / one[cost] if one[cost] else 0
        ratios = ''
        for rival in rivals:
            # Of a rival's ways to do it, the cheapest.
            costs = [other[cost] for (kind, who), other in middle.items() if who == rival and kind.split(', splice')[0] == row.split(', splice')[0]]
            ratios += f' {one[cost] / min(costs):9.2f}' if costs and name != rival else ' ' * 10
        lines.append(f'{row:<22} {name:<8} {one[cost]:9.3f} {unit:<4} {spread:5.1f} {one[rate]:9.2f} {rate_unit:<4} '
                     f'{sum(each["errors"] for each in found[row, name]):6.0f}{ratios}'.rstrip())
    return lines


def write(args, lines, found, part):
    about, date = measure.machine(), datetime.date.today().isoformat()
    lines = [f'{date}, {about["cpu"]}, {about["cores"]} cores, Linux {about["kernel"]}', *lines]
    print('\n'.join(lines))
    if args.quick:
        return
    data = {f'{row} {name}': rounds for (row, name), rounds in found.items()}
    measure.keep(f'{date}-{measure.slug(about)}-{part}', lines, data)


def main():
    args = arguments(__doc__)
    for program in 'nginx', 'wrk', 'curl', 'openssl':
        if not shutil.which(program, path=os.environ['PATH'] + ':/usr/sbin:/sbin'):
            say(f'{program} is not installed')
            return 2
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    with tempfile.TemporaryDirectory(prefix='mesh-edge-') as name:
        folder, where = pathlib.Path(name), cores()
        certificate, key = Authority(folder).issue('web')
        (folder / 'web.both').write_bytes(certificate.read_bytes() + key.read_bytes())
        try:
            _, proxies = start(args, folder, where)
            found = rows(args, folder, where, proxies)
        except (RuntimeError, AssertionError) as error:
            say(str(error))
            return 1
        finally:
            stop_all()
    lines = [f'TLS (P-256, TLS 1.3) and TCP; CPU of the proxy alone; {args.rounds} rounds of {args.seconds} s, interleaved',
             'TCP bulk is compared with the cheaper of HAProxy\'s two', ''] + table(found)
    write(args, lines, found, 'edge')
    return 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
