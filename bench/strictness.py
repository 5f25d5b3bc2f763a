#!/usr/bin/env python3
"""Sends the malformed and the odd requests of tests/scenarios/http1_corpus.py through dpmesh, HAProxy and nginx, for comparison.

Prints a table: rejected, passed on in a valid form, without an answer, unsafe. What is unsafe is listed below it.
"""
import argparse
import pathlib
import shutil
import sys
import tempfile

from measure import HERE, Process
from harness import free_port, stop_all, wait_http
import http1_corpus
from strict_origin import StrictOrigin
from verdicts import Verdicts

DPMESH = """version: 1
registry: {{kind: static}}
admin: {{port: {admin}}}
listeners: [{{name: web, port: {port}, head_timeout: 500ms, body_timeout: 500ms}}]
routes: [{{service: api}}]
services: {{api: {{endpoints: ["{origin}"]}}}}
"""
HAPROXY = """defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
  timeout http-request 500ms
frontend web
  bind 127.0.0.1:{port}
  default_backend api
backend api
  http-reuse always
  server one {origin}
"""
NGINX = """daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{}}
http {{
  access_log off; client_header_timeout 1s; client_body_timeout 1s; large_client_header_buffers 4 16k;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  upstream api {{ server {origin}; keepalive 8; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; }} }}
}}
"""


def commands(build, folder):
    sbin = '/usr/sbin:/usr/bin:/bin'
    yield 'dpmesh', DPMESH, [str(build / 'dpmesh'), 'agent', '--config']
    if shutil.which('haproxy', path=sbin):
        yield 'HAProxy', HAPROXY, [shutil.which('haproxy', path=sbin), '-f']
    if shutil.which('nginx', path=sbin):
        yield 'nginx', NGINX, [shutil.which('nginx', path=sbin), '-p', str(folder), '-e', str(folder / 'nginx.err'), '-c']


def judge(name, template, argv, folder):
    origin, port = StrictOrigin(), free_port()
    config = folder / f'{name}.conf'
    config.write_text(template.format(port=port, admin=free_port(), origin=origin.address, dir=folder))
    proxy = Process(*argv, str(config), log=folder / f'{name}.log')
    wait_http(f'http://127.0.0.1:{port}/', process=proxy)
    verdicts = Verdicts(port, origin, http1_corpus.MALFORMED), Verdicts(port, origin, http1_corpus.ODD), Verdicts(port, origin, http1_corpus.UNFINISHED, end=True)
    proxy.stop()
    origin.stop()
    return verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=HERE.parent / 'build/release', help='where dpmesh is')
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix='mesh-strictness-') as name:
        folder = pathlib.Path(name)
        for proxy, template, argv in commands(args.build, folder):
            print(f'{proxy} …', file=sys.stderr, flush=True)
            found[proxy] = judge(proxy, template, argv, folder)
    print(f'| proxy | of {len(http1_corpus.MALFORMED)} malformed: rejected | passed on, valid | no answer | unsafe '
          f'| of {len(http1_corpus.ODD)} odd: passed | unsafe | of {len(http1_corpus.UNFINISHED)} unfinished: whole behind |')
    print('|---|---|---|---|---|---|---|---|')
    for proxy, (bad, odd, cut) in found.items():
        print(f'| {proxy} | {len(bad.rejected)} | {len(bad.passed)} | {len(bad.unanswered)} | {len(bad.unsafe)} | {len(odd.passed)} | {len(odd.unsafe)} '
              f'| {len(cut.passed) + len(cut.unsafe)} |')
    for proxy, verdicts in found.items():
        for one in verdicts:
            for name, why in one.unsafe:
                print(f'* {proxy}: {name}: {why}')
    stop_all()


if __name__ == '__main__':
    main()
