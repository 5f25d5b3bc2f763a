"""What is printed and kept: one table per body size, ratios to each rival."""
from measure import NOISY, is_disturbed, spread

RIVALS = ('haproxy', 'nginx')
GOALS = {'haproxy': 0.80, 'nginx': 0.85}  # CPU per request of the mesh, at GOAL_CONNECTIONS
GOAL_CONNECTIONS = 64
GOAL_SYSCALLS = 4                         # besides epoll_wait


def ratio(cells, name, rival, connections):
    mine, theirs = cells.get((connections, name)), cells.get((connections, rival))
    if not mine or not theirs or name == rival:
        return None
    return mine['median']['cpu_us_per_request'] / theirs['median']['cpu_us_per_request']


def size_table(title, cells):
    """cells: (connections, proxy) -> {'median': …, 'rounds': […], 'rss_mib': …}, in the order to print."""
    head = (f'{"conns":>5}  {"proxy":<8} {"req/s":>8} {"CPU us/req":>10} {"+-%":>4} {"p50 ms":>8} {"p99 ms":>8} {"errors":>6} '
            f'{"busy":>5} {"RSS MiB":>8}  {"x haproxy":>9} {"x nginx":>8}')
    lines, last = [title, head, '-' * len(head)], None
    for (connections, name), cell in cells.items():
        m = cell['median']
        ratios = ['-' if r is None else f'{r:.2f}' for r in (ratio(cells, name, rival, connections) for rival in RIVALS)]
        lines.append(
            f'{connections if connections != last else "":>5}  {name:<8} {m["requests_per_s"]:8.0f} {m["cpu_us_per_request"]:10.2f} '
            f'{50 * spread(cell["rounds"], "cpu_us_per_request"):4.0f} {m["p50_ms"]:8.2f} {m["p99_ms"]:8.2f} {m["errors"]:6d} '
            f'{m["busy"]:5.0%} {cell["rss_mib"]:8.1f}  {ratios[0]:>9} {ratios[1]:>8}')
        last = connections
    return lines + ['']


def goal_lines(cells):
    for rival, goal in GOALS.items():
        r = ratio(cells, 'dpmesh', rival, GOAL_CONNECTIONS)
        if r is not None:
            yield f'goal: CPU per request <= {goal:.2f} x {rival} at {GOAL_CONNECTIONS} connections: {r:.2f}, {"met" if r <= goal else "MISSED"}'


def syscall_lines(traced):
    """traced: proxy -> {syscall -> calls per request} or None."""
    if not any(traced.values()):
        return ['Syscalls per request: not measured (strace is missing or may not attach).', '']
    lines = [f'Syscalls per request (128 B, {GOAL_CONNECTIONS} connections, under strace, so slower than above)']
    for name, calls in traced.items():
        if not calls:
            lines.append(f'  {name:<8}      - not measured')
            continue
        often = sorted(((n, c) for n, c in calls.items() if c >= 0.005), key=lambda pair: -pair[1])
        lines.append(f'  {name:<8} {sum(calls.values()):6.2f}  = ' + ' + '.join(f'{c:.2f} {n}' for n, c in often))
    if traced.get('dpmesh'):
        own = sum(c for n, c in traced['dpmesh'].items() if not n.startswith('epoll_'))
        lines.append(f'goal: <= {GOAL_SYSCALLS} besides epoll: {own:.2f}, {"met" if own <= GOAL_SYSCALLS + 0.05 else "MISSED"}')
    return lines + ['']


def noise_lines(sizes):
    rounds = [one for cells in sizes.values() for cell in cells.values() for one in cell['rounds']]
    disturbed = sum(map(is_disturbed, rounds))
    worst_others, worst_stolen = (max((one[key] for one in rounds), default=0) for key in ('others', 'stolen'))
    line = (f'Noise: other programs took up to {worst_others:.0%} of a core from ours, the hypervisor up to {worst_stolen:.0%}; '
            f'{disturbed} of {len(rounds)} rounds lost more than {NOISY:.0%}')
    if rounds and disturbed == len(rounds):
        return [line + ': repeat on a quieter machine.']
    return [line + (' and were left out where quieter ones were left.' if disturbed else '.')]
