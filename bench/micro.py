"""The library's own benchmarks (Google Benchmark), each beside clock_gettime from the same run."""
import json
import re
import sys

from measure import Process

DECISION = re.compile(r'cycle|pick|breaker|record', re.I)
CLOCK = re.compile(r'clock_?gettime', re.I)
DEADLINE_SECONDS = 600
UNIT_NS = {'ns': 1, 'us': 1e3, 'ms': 1e6, 's': 1e9}


def parse(text):
    """name -> CPU ns per operation: the median where there were repetitions."""
    found = {}
    for run in json.loads(text)['benchmarks']:
        if run.get('error_occurred') or run.get('aggregate_name', 'median') != 'median':
            continue
        found[run.get('run_name', run['name'])] = run['cpu_time'] * UNIT_NS[run['time_unit']]
    return found


def run(build, folder, quick):
    """bench program -> {name -> ns} for every *_bench that was built, and what failed."""
    results, failed = {}, []
    for program in sorted(build.glob('*_bench')):
        print(f'micro: {program.name}', file=sys.stderr, flush=True)
        out = folder / f'{program.name}.json'
        process = Process(program, f'--benchmark_min_time={0.02 if quick else 0.2}', '--benchmark_repetitions=3',
                          '--benchmark_enable_random_interleaving=true', '--benchmark_report_aggregates_only=true',
                          f'--benchmark_out={out}', '--benchmark_out_format=json', log=folder / f'{program.name}.log')
        try:
            if process.wait(DEADLINE_SECONDS) == 0:
                results[program.name] = parse(out.read_text())
                continue
            failed.append(process.tail())
        except (AssertionError, ValueError, KeyError, OSError) as error:
            failed.append(f'{program.name}: {error}')
        finally:
            process.stop()
    return results, failed


def natural(name):
    """Sorts pick/10 before pick/1000 and after pick."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r'(\d+)', name)]


def table(results):
    """Lines: every decision, ns, times clock_gettime of the same program (else of any other in this run)."""
    def clock(times):
        return next((ns for name, ns in times.items() if CLOCK.search(name)), None)

    anywhere = next(filter(None, map(clock, results.values())), None)
    rows = []
    for program, times in results.items():
        base = clock(times) or anywhere
        for name, ns in sorted(times.items(), key=lambda pair: natural(pair[0])):
            if CLOCK.search(name) or DECISION.search(name):
                ratio = f'{ns / base:8.2f}' if base else f'{"-":>8}'
                rows.append(f'{program:<20} {name:<44} {ns:10.1f} {ratio}')
    if not rows:
        return []
    head = f'{"program":<20} {"benchmark":<44} {"CPU ns":>10} {"x clock":>8}'
    return ['Decisions of the library (goal: Cycle <= 2.5 x clock_gettime)', head, '-' * len(head), *rows, '']
