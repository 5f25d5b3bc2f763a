"""Reading the machine: CPU and memory of a process group, a core's time, wrk, strace, what the machine is."""
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'tests/scenarios'))
from harness import Process, get, until  # noqa: E402  one way to start, stop and wait for programs

HERE = pathlib.Path(__file__).resolve().parent
TICKS = os.sysconf('SC_CLK_TCK')
SYSCALL_SECONDS = 1.0
NOISY = 0.10  # of a core, taken from ours by others or the hypervisor: above this a round is disturbed


def parse_stat(line):
    """(process group, user + system ticks) of one line of /proc/PID/stat; the name in it may hold anything."""
    fields = line.rsplit(')', 1)[1].split()
    return int(fields[2]), int(fields[11]) + int(fields[12])


def group(pgid):
    """pid -> CPU ticks of every process in the group, threads included."""
    found = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                of, ticks = parse_stat(pathlib.Path(f'/proc/{entry}/stat').read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if of == pgid:
                found[int(entry)] = ticks
    return found


def cpu_seconds(pgid):
    return sum(group(pgid).values()) / TICKS


def rss_mib(pgid):
    total = 0
    for pid in group(pgid):
        found = re.search(r'^VmRSS:\s+(\d+) kB', pathlib.Path(f'/proc/{pid}/status').read_text(), re.M)
        total += int(found[1]) if found else 0
    return total / 1024


def core_seconds(core):
    """(busy, stolen by the hypervisor) of one core since boot."""
    fields = re.search(rf'^cpu{core} (.*)$', pathlib.Path('/proc/stat').read_text(), re.M)[1].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def pinned(core, *argv):
    return ['taskset', '-c', str(core), *argv] if shutil.which('taskset') else list(argv)


def parse_wrk(text):
    found = re.search(r'^RESULT (.*)$', text, re.M)
    if not found:
        raise RuntimeError(f'wrk gave no result:\n{text}')
    return json.loads(found[1])


def wrk_argv(core, url, connections, seconds):
    return pinned(core, 'wrk', '-t1', f'-c{connections}', f'-d{seconds}', '--latency', '--timeout', '5s',
                  '-s', str(HERE / 'configs/wrk.lua'), url)


def run_wrk(folder, core, url, connections, seconds):
    log = folder / 'wrk.log'
    log.unlink(missing_ok=True)
    wrk = Process(*wrk_argv(core, url, connections, seconds), log=log)
    try:
        if wrk.wait(seconds + 30):
            raise RuntimeError(wrk.tail())
    finally:
        wrk.stop()
    return parse_wrk(wrk.log())


def load_seconds(backend):
    """CPU that the backend and every load generator so far have used."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_seconds(backend.pid) + children.ru_utime + children.ru_stime


def measure(proxy, backend, folder, cores, path, connections, seconds):
    """One timed part: what wrk saw, what the proxy spent on it, and what others took from us meanwhile."""
    used = sorted(set(cores.values()))
    proxy_cpu, load_cpu, before = cpu_seconds(proxy.pid), load_seconds(backend), [core_seconds(core) for core in used]
    seen = run_wrk(folder, cores['load'], proxy.url + path, connections, seconds)
    proxy_cpu, load_cpu = cpu_seconds(proxy.pid) - proxy_cpu, load_seconds(backend) - load_cpu
    took = [(after[0] - then[0], after[1] - then[1]) for then, after in zip(before, map(core_seconds, used))]
    if not seen['requests']:
        raise RuntimeError(f'{proxy.name} answered nothing at {connections} connections')
    return {
        'requests_per_s': seen['requests'] / seen['seconds'],
        'cpu_us_per_request': proxy_cpu * 1e6 / seen['requests'],
        'p50_ms': seen['p50_us'] / 1000,
        'p99_ms': seen['p99_us'] / 1000,
        'errors': seen['errors'],
        'busy': proxy_cpu / seen['seconds'],
        'others': max(0.0, sum(busy for busy, _ in took) - proxy_cpu - load_cpu) / seen['seconds'],
        'stolen': sum(stolen for _, stolen in took) / seen['seconds'],
    }


def parse_strace(text):
    """syscall -> calls, from the table of `strace -c`: percent, seconds, us/call, calls, [errors,] name."""
    return {row[-1]: int(row[3]) for row in map(str.split, text.splitlines())
            if len(row) in (5, 6) and row[3].isdigit() and row[-1] != 'total'}


def backend_requests(backend_url):
    """How many requests the backend has seen, from its own counter (this question included)."""
    return int(get(backend_url + '/status').text.splitlines()[2].split()[2])


def syscalls(proxy, folder, cores, backend_url, path, connections):
    """syscall -> calls per request, in steady state; None where strace is missing or may not attach.

    strace joins when the requests already flow and leaves before they end, so that connecting is not counted.
    """
    if not shutil.which('strace'):
        return None
    table = folder / 'strace.txt'
    wrk = Process(*wrk_argv(cores['load'], proxy.url + path, connections, 30), log=folder / 'wrk-strace.log')
    strace = None
    try:
        start = backend_requests(backend_url)
        until(lambda: backend_requests(backend_url) > start + 10 * connections, 10, f'{proxy.name} at work')
        pids = sorted(group(proxy.pid))
        attach = [word for pid in pids for word in ('-p', str(pid))]
        log = folder / f'strace-{proxy.name}.log'
        strace = Process(*pinned(cores['load'], 'strace', '-c', '-f', '-o', str(table), *attach), log=log)
        until(lambda: strace.log().count(' attached') >= len(pids) or strace.exit_code() is not None, 10, 'strace')
        if strace.exit_code() is not None:
            return None
        first = backend_requests(backend_url)
        until(window(SYSCALL_SECONDS), SYSCALL_SECONDS + 5, 'the traced second')
        last = backend_requests(backend_url)
        strace.stop(signal.SIGINT)
        asked = 1  # our own look at the counter goes past the proxy
        return {name: calls / max(last - first - asked, 1) for name, calls in parse_strace(table.read_text()).items()}
    finally:
        if strace:
            strace.stop(signal.SIGINT)
        wrk.stop()


def window(seconds):
    """A condition that turns true after so long: the length of a measurement, not a wait for something."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def is_disturbed(one):
    return one['others'] > NOISY or one['stolen'] > NOISY


def medians(rounds):
    """Field by field, over the undisturbed rounds if there are any; the errors are of all rounds."""
    quiet = [one for one in rounds if not is_disturbed(one)] or rounds
    return {key: statistics.median([one[key] for one in quiet]) for key in rounds[0]} | {
        'errors': sum(one['errors'] for one in rounds)}


def spread(rounds, key):
    """(max - min) / median over the undisturbed rounds."""
    values = [one[key] for one in rounds if not is_disturbed(one)] or [one[key] for one in rounds]
    return (max(values) - min(values)) / statistics.median(values)


def version(argv, pattern=r'(\d+\.\d+[\w.]*)'):
    """The first version number that a program prints about itself, or None if there is no such program."""
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    found = re.search(pattern, said.stdout + said.stderr)
    return found[1] if found else None


def machine():
    """What the numbers belong to; nothing that names the machine itself."""
    cpuinfo = pathlib.Path('/proc/cpuinfo').read_text()
    model = re.search(r'^model name\s*:\s*(.*)$', cpuinfo, re.M)
    model = model[1] if model else platform.machine()
    return {'cpu': re.sub(r'\((R|TM)\)', '', model, flags=re.I).strip(), 'cores': os.cpu_count(),
            'kernel': '.'.join(platform.release().split('.')[:2])}


def quantile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def keep(stem, lines, data):
    """Into bench/results, as text and as JSON."""
    results = HERE / 'results'
    results.mkdir(exist_ok=True)
    (results / f'{stem}.txt').write_text('\n'.join(lines) + '\n')
    (results / f'{stem}.json').write_text(json.dumps(data, indent=1) + '\n')


def slug(about):
    text = f'{about["cpu"]} {about["cores"]} cores'.lower()
    return re.sub(r'[^a-z0-9]+', '-', text).strip('-')
