#!/usr/bin/env python3
"""Where the time of a request goes: instructions in user space, by room and by function, and system calls. See bench/README.md.

Counts, not times: they hardly depend on what else the machine does. Exit status: 0 measured, 1 a program failed, 2 a tool is missing.
"""
import argparse
import datetime
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import http2
import measure
import run
from harness import free_port, stop_all, until
from run import say

KINDS = {  # name -> (HTTP/2?, path, options of h2load)
    'HTTP/1.1 128 B': (False, '/small', ['--h1', '-c64', '-m1']),
    'HTTP/1.1 16 KiB': (False, '/large', ['--h1', '-c64', '-m1']),
    'HTTP/2 128 B': (True, '/small', [f'-c{http2.CONNECTIONS}', f'-m{http2.STREAMS}']),
    'HTTP/2 16 KiB': (True, '/large', [f'-c{http2.CONNECTIONS}', f'-m{http2.STREAMS}']),
    'gRPC unary 64 B': (True, '/bench.Echo/Unary', [f'-c{http2.CONNECTIONS}', f'-m{http2.STREAMS}', '-d', '{folder}/message', '-H',
                                                    'content-type: application/grpc', '-H', 'te: trailers']),
}
FUNCTIONS = 30


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=measure.HERE.parent / 'build/release', help='where dpmesh is')
    parser.add_argument('--requests', type=int, default=20_000, help='that are counted, of each kind')
    parser.add_argument('--only', help='kinds whose name has this in it')
    parser.add_argument('--no-instructions', action='store_true', help='system calls only')
    parser.add_argument('--no-calls', action='store_true', help='instructions only')
    parser.add_argument('--write', action='store_true', help='write bench/results/DATE-MACHINE-cost.txt')
    return parser.parse_args()


def backend_of_http2(folder, core):
    port = free_port()
    (folder / 'message').write_bytes(b'\0\0\0\0\x40' + http2.MESSAGE.encode())
    (folder / 'http2.conf').write_text(http2.NGINX.format(backend=port, folder=folder, small='x' * 128, message=http2.MESSAGE))
    measure.Process(*measure.pinned(core, 'nginx', '-p', folder, '-e', folder / 'http2.err', '-c', folder / 'http2.conf'), log=folder / 'http2.log')
    return port


def programs(args, folder, is_http2, backend, port):
    """name -> how to start each proxy that is here, ours first."""
    found = {}
    if is_http2:
        found.update(http2.commands(args, folder, backend, port))
    else:
        found.update((name, command()) for name, command in run.commands(args, folder, backend, lambda: port))
    return {name: found[name] for name in ('dpmesh', 'haproxy', 'nginx', 'nghttpx') if name in found}


def is_up(port, is_http2):
    version = '--http2-prior-knowledge' if is_http2 else '--http1.1'
    return subprocess.run(['curl', '-fsS', version, '-o', '/dev/null', '--max-time', '5', f'http://127.0.0.1:{port}/small'],
                          capture_output=True, check=False).returncode == 0


def load(folder, port, kind, requests):
    _, path, options = KINDS[kind]
    log = folder / 'load.log'
    log.unlink(missing_ok=True)
    argv = [word.format(folder=folder) for word in options]
    one = measure.Process('h2load', *argv, f'-n{requests}', f'http://127.0.0.1:{port}{path}', log=log)
    if one.wait(600):
        raise RuntimeError(one.tail())
    done, _, errors = http2.parse_h2load(one.log())
    if done != requests or errors:
        raise RuntimeError(f'{kind}: {done} of {requests} answered')


# --- instructions

def parse_callgrind(text):
    """(instructions in all, [(instructions, object, function)]) of `callgrind_annotate` without --tree."""
    total = int(re.search(r'^([\d,]+) .*PROGRAM TOTALS', text, re.M)[1].replace(',', ''))
    rows = [(int(count.replace(',', '')), where[2] or '', where[1]) for count, where in (
        (found[1], re.match(r'[^:]*:(.*?)(?: \[([^\]]*)\])?$', found[2])) for found in re.finditer(r'^ *([\d,]+) \([ \d.]+%\)  (.*:.*)$', text, re.M))]
    # The frames that were entered before the count began are charged with all of it.
    return total, [row for row in rows if row[0] < 0.97 * total]


def short(library, function):
    """A function's name without what makes it long."""
    if function.startswith('0x'):
        return f'{pathlib.Path(library).name.split(".so")[0]} {function}'
    name = function.split("'")[0]
    name = name.replace('datapunk::mesh::', '').replace('(anonymous namespace)::', '').replace('[clone .resume]', '').strip()
    name = re.sub(r'std::__\w+::', 'std::', name)
    depth, out = 0, []
    for i, c in enumerate(name):
        if c == '<' and not name.endswith('operator', 0, i):
            depth += 1
            if depth == 1:
                out.append('<>')
        elif c == '>' and depth and name[i - 1] != '-':
            depth -= 1
        elif c == '(' and not depth:
            break
        elif not depth:
            out.append(c)
    return ''.join(out)[:90] or function[:90]


def room_of(library, function):
    """By name: what the compiler has put into another function counts as that one's."""
    named = re.match(r'.*?datapunk::mesh::(\w+)::', function)
    if named:
        return named[1]
    if 'nghttp2' in library:
        return 'nghttp2'
    return 'standard library' if re.match(r'.*(?:std::|__gnu_cxx|fmt::)', function) or 'stdc++' in library else 'libc'


def annotate(dump, *options):
    # Wide, so that names are not cut.
    done = subprocess.run(['callgrind_annotate', '--threshold=100', '--auto=no', *options, str(dump)], capture_output=True, text=True, check=True)
    return parse_callgrind(done.stdout)


def instructions(folder, argv, port, kind, requests):
    """(instructions of a request, [(self, object, function)], [(with callees, object, function)]), each per request."""
    out, plain = folder / 'callgrind.out', folder / 'dpmesh'
    # Debian's valgrind stumbles over clang's DWARF 5; the symbol table suffices.
    subprocess.run(['strip', '-g', '-o', str(plain), str(argv[0])], check=True)
    argv = [plain, *argv[1:]]
    proxy = measure.Process('valgrind', '--tool=callgrind', f'--callgrind-out-file={out}', '--cache-sim=no', *map(str, argv), log=folder / 'callgrind.log')
    try:
        until(lambda: is_up(port, KINDS[kind][0]), 60, 'dpmesh under callgrind')
        load(folder, port, kind, max(2000, requests // 4))
        subprocess.run(['callgrind_control', '-z', str(proxy.pid)], capture_output=True, check=True, timeout=60)
        load(folder, port, kind, requests)
        subprocess.run(['callgrind_control', '-d', str(proxy.pid)], capture_output=True, check=True, timeout=60)
    finally:
        proxy.stop(signal.SIGKILL)
    dump = max((path for path in folder.glob('callgrind.out*') if path.stat().st_size), key=lambda path: path.stat().st_mtime)
    total, own = annotate(dump)
    _, whole = annotate(dump, '--inclusive=yes')
    for path in folder.glob('callgrind.out*'):
        path.unlink()
    return total / requests, [(n / requests, *rest) for n, *rest in own], [(n / requests, *rest) for n, *rest in whole]


def summed(rows, key):
    sums = {}
    for count, *what in rows:
        name = key(*what)
        sums[name] = sums.get(name, 0) + count
    return sorted(sums.items(), key=lambda one: -one[1])


def instruction_lines(kind, total, own, whole):
    lines = [f'{kind}: {total:,.0f} instructions in user space', '  by room: '
             + ', '.join(f'{name} {count:,.0f}' for name, count in summed(own, room_of) if count >= total / 200)]
    own, whole = summed(own, short), summed(whole, short)
    lines.append(f'  {"itself":>8}  {"":<70} {"with callees":>12}')
    for (name, count), (all_name, all_count) in zip(own[:FUNCTIONS], whole[:FUNCTIONS]):
        lines.append(f'  {count:8,.0f}  {name[:68]:<70} {all_count:12,.0f}  {all_name[:68]}')
    return lines + ['']


# --- system calls

def parse_calls(text):
    """syscall -> [calls, calls that found nothing (EAGAIN), bytes]"""
    found = {}
    for line in text.splitlines():
        call = re.match(r'(?:\d+ +)?(\w+)\(.*\) += (-?\d+)', line)
        if call:
            row = found.setdefault(call[1], [0, 0, 0])
            row[0] += 1
            row[1] += ' EAGAIN ' in line
            row[2] += max(0, int(call[2]))
    return found


def calls(folder, proxy, port, kind, requests):
    """What strace saw of so many requests over connections that were there before: `syscall -> [calls, EAGAIN, bytes]`."""
    trace = folder / 'trace.txt'
    log = folder / 'strace.log'
    pids = sorted(measure.group(proxy.pid))
    strace = measure.Process('strace', '-f', '-s0', '-o', trace, *[word for pid in pids for word in ('-p', str(pid))], log=log)
    try:
        until(lambda: strace.log().count(' attached') >= len(pids) or strace.exit_code() is not None, 10, 'strace')
        load(folder, port, kind, requests)
    finally:
        strace.stop(signal.SIGINT)
    found = parse_calls(trace.read_text())
    if not found:
        raise RuntimeError(f'strace saw nothing of {proxy.name}:\n{strace.log()}')
    return found


def call_line(name, found, requests):
    io = re.compile(r'(recv|send|read|write|splice)')
    rows = sorted(((n / requests, what, empty, size) for what, (n, empty, size) in found.items() if n / requests >= 0.005), reverse=True)
    waits = sum(n for n, what, *_ in rows if what.startswith('epoll_wait') or what.startswith('epoll_pwait'))
    words = [f'{n:.2f} {what}' + (f' of {size / max(1, n * requests - empty):,.0f} B' if io.match(what) else '')
             + (f' ({empty / requests:.2f} EAGAIN)' if empty / requests >= 0.005 else '') for n, what, empty, size in rows]
    return f'  {name:<8} {sum(n for n, *_ in rows) - waits:5.2f} besides epoll_wait: ' + ', '.join(words)


def call_lines(args, folder, kind, backend):
    lines = [f'{kind}: system calls of a request (strace; connecting counts, 1/{args.requests // 64} of each)']
    is_http2, requests = KINDS[kind][0], args.requests
    for name in programs(args, folder, is_http2, backend, 1):
        port = free_port()
        proxy = measure.Process(*map(str, programs(args, folder, is_http2, backend, port)[name]), log=folder / f'{name}.log')
        try:
            until(lambda: is_up(port, is_http2), 20, name)
            load(folder, port, kind, 2000)
            lines.append(call_line(name, calls(folder, proxy, port, kind, requests), requests))
        finally:
            proxy.stop()
    return lines + ['']


def measured(args, folder):
    cores = run.choose_cores()
    about = measure.machine()
    lines = [f'{datetime.date.today().isoformat()}  {about["cpu"]}, {about["cores"]} cores, Linux {about["kernel"]}; dpmesh with one worker; '
             f'{args.requests} requests of each kind after a warm-up', '']
    backends = {False: run.start_backend(folder, cores['backend']).url.rsplit(':', 1)[1], True: backend_of_http2(folder, cores['backend'])}
    for kind, (is_http2, *_) in KINDS.items():
        if args.only and args.only not in kind:
            continue
        say(kind)
        if not args.no_instructions:
            port = free_port()
            argv = programs(args, folder, is_http2, backends[is_http2], port)['dpmesh']
            lines += instruction_lines(kind, *instructions(folder, argv, port, kind, args.requests))
        if not args.no_calls:
            lines += call_lines(args, folder, kind, backends[is_http2])
    return about, lines


def main():
    args = arguments()
    if not run.has('nginx', 'h2load', 'curl', 'valgrind', 'strip', 'strace'):
        return 2
    with tempfile.TemporaryDirectory(prefix='mesh-cost-') as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # nginx' worker is another user when we are root
        try:
            about, lines = measured(args, folder)
        except (AssertionError, RuntimeError, subprocess.SubprocessError) as error:
            say(f'FAILED: {error}')
            return 1
        finally:
            stop_all()
    print('\n'.join(lines))
    if args.write:
        path = measure.HERE / 'results' / f'{datetime.date.today().isoformat()}-{measure.slug(about)}-cost.txt'
        path.write_text('\n'.join(lines) + '\n')
        say(f'written: {path}')
    return 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
