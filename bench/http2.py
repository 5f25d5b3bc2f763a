#!/usr/bin/env python3
"""HTTP/2 and gRPC unary calls: the mesh's proxy beside nghttpx and HAProxy, in one run. See bench/README.md.

Exit status: 0 measured, 1 a proxy failed, 2 nothing can be measured here.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import edge
import measure
from edge import Proxy, say
from harness import free_port, stop_all, until

CONNECTIONS, STREAMS = 4, 32  # few connections with many streams: what HTTP/2 is for

HAPROXY = """
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend bench
    bind 127.0.0.1:{port} proto h2
    default_backend backend
backend backend
    server backend 127.0.0.1:{backend} proto h2
"""
DPMESH = """
registry: {{kind: static}}
admin: {{port: {admin}}}
workers: 1
listeners: [{{name: bench, port: {port}}}]
routes: [{{service: backend}}]
services: {{backend: {{endpoints: ["127.0.0.1:{backend}"], policy: {{protocol: http2}}}}}}
"""
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; http2_max_concurrent_streams 1024; sendfile on; open_file_cache max=10;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{backend} http2 backlog=4096; root {folder};
    location = /small {{ return 200 "{small}"; }}
    location = /bench.Echo/Unary {{ default_type application/grpc; add_trailer grpc-status 0; return 200 "{message}"; }}
  }}
}}
"""
MESSAGE = 'x' * 64


def commands(args, folder, backend, port):
    """name -> how to start each proxy that is here."""
    if shutil.which('nghttpx'):
        yield 'nghttpx', ['nghttpx', f'-f127.0.0.1,{port};no-tls', f'-b127.0.0.1,{backend};;proto=h2', '--workers=1', '--conf=/dev/null',
                          '--single-process', '--accesslog-file=/dev/null', '--no-ocsp']
    if shutil.which('haproxy'):
        (folder / 'haproxy.cfg').write_text(HAPROXY.format(port=port, backend=backend))
        yield 'haproxy', ['haproxy', '-db', '-f', folder / 'haproxy.cfg']
    if (args.build / 'dpmesh').exists():
        (folder / 'mesh.yaml').write_text(DPMESH.format(port=port, backend=backend, admin=free_port()))
        yield 'dpmesh', [args.build / 'dpmesh', 'agent', '--config', folder / 'mesh.yaml']


def start(args, folder, where):
    """The proxies that answer; each has a port of its own."""
    backend = free_port()
    (folder / 'large').write_bytes(b'x' * (16 << 10))
    (folder / 'message').write_bytes(b'\0\0\0\0\x40' + MESSAGE.encode())
    (folder / 'nginx.conf').write_text(NGINX.format(backend=backend, folder=folder, small='x' * 128, message=MESSAGE))
    Proxy('nginx', where['load'], ['nginx', '-p', folder, '-e', folder / 'nginx.err', '-c', folder / 'nginx.conf'], folder / 'nginx.log')
    proxies = []
    for name in ('nghttpx', 'haproxy', 'dpmesh'):
        port = free_port()
        argv = dict(commands(args, folder, backend, port)).get(name)
        if argv is None:
            continue
        proxy = Proxy(name, where['proxy'], argv, folder / f'{name}.log', http=port)
        until(lambda p=proxy: answers(p), 15, f'{name} answers')
        proxies.append(proxy)
    return proxies


def answers(proxy):
    url = f'http://127.0.0.1:{proxy.ports["http"]}/small'
    return subprocess.run(['curl', '-fsS', '--http2-prior-knowledge', '-o', '/dev/null', '--max-time', '5', url],
                                  capture_output=True, check=False).returncode == 0


def parse_h2load(text):
    """(requests answered with 2xx, seconds, failed or refused)."""
    seconds = re.search(r'^finished in ([\d.]+)(us|ms|s),', text, re.M)
    counts = re.search(r'^requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed', text, re.M)
    if not seconds or not counts:
        raise RuntimeError(f'h2load gave no result:\n{text}')
    return int(counts[3]), float(seconds[1]) * {'us': 1e-6, 'ms': 1e-3, 's': 1}[seconds[2]], int(counts[2]) - int(counts[3]) + int(counts[4])


def h2load(proxy, where, folder, path, seconds, extra=()):
    log = folder / 'h2load.log'
    log.unlink(missing_ok=True)
    before = measure.cpu_seconds(proxy.pid)
    load = measure.Process(*measure.pinned(where['load'], 'h2load', f'-c{CONNECTIONS}', f'-m{STREAMS}', f'-D{seconds}', *map(str, extra),
                                           f'http://127.0.0.1:{proxy.ports["http"]}{path}'), log=log)
    if load.wait(seconds + 30):
        raise RuntimeError(load.tail())
    done, _, errors = parse_h2load(load.log())
    if not done:
        raise RuntimeError(f'{proxy.name} answered nothing:\n{load.log()}')
    return {'cpu_us': (measure.cpu_seconds(proxy.pid) - before) * 1e6 / done, 'per_s': done / seconds, 'errors': errors}


def rows(args, folder, where, proxies):
    """(row, proxy) -> what each round gave; rounds are interleaved."""
    grpc = ['-d', folder / 'message', '-H', 'content-type: application/grpc', '-H', 'te: trailers']
    parts = {'HTTP/2 128 B': ('/small', ()), 'HTTP/2 16 KiB': ('/large', ()), 'gRPC unary 64 B': ('/bench.Echo/Unary', grpc)}
    found = {}
    for number in range(-1, args.rounds):  # round -1 warms up
        for row, (path, extra) in parts.items():
            for proxy in proxies:
                one = h2load(proxy, where, folder, path, args.seconds, extra)
                say(f'round {number + 1}/{args.rounds} {proxy.name:<8} {row}: ' + ', '.join(f'{key} {value:.2f}' for key, value in one.items()))
                if number >= 0:
                    found.setdefault((row, proxy.name), []).append(one)
    return found


def main():
    args = edge.arguments(__doc__)
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    for program in 'nginx', 'h2load', 'curl':
        if not shutil.which(program):
            say(f'{program} is not installed')
            return 2
    with tempfile.TemporaryDirectory(prefix='mesh-http2-') as name:
        folder, where = pathlib.Path(name), edge.cores()
        try:
            found = rows(args, folder, where, start(args, folder, where))
        except (RuntimeError, AssertionError) as error:
            say(str(error))
            return 1
        finally:
            stop_all()
    lines = [f'HTTP/2 to HTTP/2 in the clear, {CONNECTIONS} connections x {STREAMS} streams; CPU of the proxy alone; '
             f'{args.rounds} rounds of {args.seconds} s, interleaved', ''] + edge.table(found, rivals=('haproxy', 'nghttpx'))
    edge.write(args, lines, found, 'http2')
    return 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
