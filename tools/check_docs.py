#!/usr/bin/env python3
"""Is what the documents say there? Output is file:line: problem; exit status 1 if anything is found.

Usage: tools/check_docs.py [--fix] [ROOT]. Tests: tools/check_docs_test.py. For every *.md of the project:

  * relative links lead to files, and #fragments to headings
  * paths of this project named in `code` exist (`src/balance/round_robin.h`, globs too)
  * members named in `code` exist in a file that knows the class (`Exchange::serve`)
  * tests named in `code` exist (`RoundRobin.HonoursWeights`, `Seeds/Model.Holds`), and so do behaviours of the conformance suite
    (behaviour `TheSameIdAgainReplaces`)
  * docs/seeds.md: each thing that is there names a test, each line points to such a thing, or says itself where it is solved
  * metrics named in `code` are in src/metrics/names.h, and docs/operations.md names all of them
  * a block between <!-- text of FILE --> and <!-- end --> is the text of FILE between its lines
    `// README: begin` and `// README: end`, or the whole file if it has none; FILE may also be `arrows`, the rooms and
    what they may include as CMakeLists.txt has them. --fix rewrites these blocks.
"""
import pathlib
import re
import sys

ROOMS = ('src', 'include', 'tests', 'tools', 'docs', 'examples', 'bench', 'packaging', 'cmake', 'web', '.ci')
SKIPPED = {'build', 'install', 'node_modules', '.git', 'third_party'}
LINK = re.compile(r'\]\(([^)\s]+)\)')
CODE = re.compile(r'`([^`\n]+)`')
PATH = re.compile(r'(?:%s)/[\w.*/{},+-]*' % '|'.join(re.escape(room) for room in ROOMS))
MEMBER = re.compile(r'(?:\w+::)*([A-Z]\w+)::(~?\w+)(?:\(.*\))?')
TEST = re.compile(r'(?:[A-Z]\w+/)?[A-Z]\w+\.[A-Z]\w+')
BEHAVIOURS = re.compile(r'\bbehaviours? ((?:`\w+`(?:, | and )?)+)')
METRIC = re.compile(r'(?:mesh|process)_[a-z_]+_(?:total|seconds|bytes|open|state|ejected|known|healthy|up|active|info|flight|fds)')
SAME = re.compile(r'(<!-- text of (\S+) -->\n+```\w*\n)(.*?)(```\n+<!-- end -->)', re.S)


def documents(root):
    return [path for path in sorted(root.rglob('*.md')) if not SKIPPED & set(path.relative_to(root).parts)]


def anchors(text):
    """The fragments that GitHub makes of the headings."""
    headings = re.findall(r'^#+\s+(.*)$', re.sub(r'```.*?```', '', text, flags=re.S), re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def tests_of(root):
    found, prefixes = set(), set()
    for path in [*root.glob('src/**/*.cpp'), *root.glob('src/**/*.h'), *root.glob('tests/**/*.cpp'), *root.glob('bench/**/*.cpp')]:
        text = path.read_text()
        for match in re.finditer(r'^(?:TYPED_)?TEST(?:_[FP])?\(\s*(\w+),\s*(\w+)\s*\)', text, re.M):
            found.add(f'{match[1]}.{match[2]}')
        prefixes |= {(match[2], match[1]) for match in re.finditer(r'^INSTANTIATE_TEST_SUITE_P\(\s*(\w+),\s*(\w+)', text, re.M)}
    return found | {f'{prefix}/{name}' for name in found for suite, prefix in prefixes if name.startswith(suite + '.')}


def behaviours_of(root):
    """Every word of the conformance suite."""
    return {word for path in root.glob('src/registry/test_conformance*.h') for word in re.findall(r'\w+', path.read_text())}


def ids_in(cell):
    """R5, D1–D3: the ids of part 1 that a line of part 2 points to."""
    for match in re.finditer(r'\b([A-Z])(\d+)(?:–(?:\1)?(\d+))?\b', re.sub(r'`[^`]*`|\]\([^)]*\)', '', cell)):
        for number in range(int(match[2]), int(match[3] or match[2]) + 1):
            yield f'{match[1]}{number}'


def check_seeds(text):
    """(line, problem): each row says what it must, whoever it is that says it."""
    tested, rows = {}, []
    for number, line in enumerate(text.split('\n'), 1):
        cells = [cell.strip() for cell in re.sub(r'`[^`]*`', lambda m: m[0].replace('|', ' '), line).strip('|').split('|')]
        if not line.startswith('|') or set(line) <= set('|- ') or cells[0] in ('id', 'lines'):
            continue
        if len(cells) == 5 and re.fullmatch(r'[A-Z]\d+', cells[0]):
            tested[cells[0]] = bool(TEST.search(cells[4]) or BEHAVIOURS.search(cells[4]) or 'tests/scenarios/' in cells[4])
            if cells[2].startswith(('yes', 'in part')) and not tested[cells[0]]:
                yield number, f'{cells[0]} is there, and no test says so'
        elif len(cells) == 3:
            rows.append((number, cells))
        else:
            yield number, f'{len(cells)} columns'
    for number, (lines, statement, where) in rows:
        ids = list(ids_in(where))
        for one in ids:
            if one not in tested:
                yield number, f'points to {one}, which is not there'
        says_itself = re.search(r'`[^`]+`|\]\(', where)
        if not ids and not says_itself:
            yield number, f'line {lines} says nowhere where it is true'
        if statement.startswith('issue') and not any(tested.get(one) for one in ids) and not TEST.search(where):
            yield number, f'the issue of line {lines} has no test'


def words_of(root):
    """The set of words of every source file, for members."""
    return [set(re.findall(r'\w+', path.read_text())) for path in [*root.glob('src/**/*.[hc]*'), *root.glob('include/**/*.h')]]


def metrics_of(root):
    path = root / 'src/metrics/names.h'
    return set(re.findall(r'MetricFamily k\w+\{"(\w+)"', path.read_text())) if path.exists() else set()


def reasons_of(root):
    """Every word that the proxy says for why it refused."""
    found = set()
    for name, pattern in (('src/proxy/replies.cpp', r'return "(\w+)";'), ('src/wire/http1/message.cpp', r'\{"(\w+)", [45]\d\d\}')):
        path = root / name
        found |= set(re.findall(pattern, path.read_text())) if path.exists() else set()
    return found - {'unknown'}


def is_there(root, name):
    """Whether a path exists; {a,b} and * stand for what they do in a shell."""
    braces = re.search(r'\{([^{}]*)\}', name)
    if braces:
        return all(is_there(root, name[:braces.start()] + one + name[braces.end():]) for one in braces[1].split(','))
    name = name.rstrip('/.')
    return any(root.glob(name)) if '*' in name else (root / name).exists()


def arrows(root):
    """One line a room, from the mesh_room(... NEEDS ...) lines whose folder exists."""
    lines = []
    for m in re.finditer(r'^mesh_room\(\s*(\w+)(.*?)\)', (root / 'CMakeLists.txt').read_text(), re.M | re.S):
        needs = re.search(r'NEEDS\s+(.*?)(?:\b(?:PUBLIC_)?LIBS\b|\bTEST_NEEDS\b|$)', m[2], re.S)
        if (root / 'src' / m[1]).exists():
            there = [room for room in (needs[1].split() if needs else []) if (root / 'src' / room).exists()]
            lines.append(f'{m[1]:<11}{" ".join(there) or "—"}')
    return '\n'.join(lines)


def source_text(root, name):
    """What a block that shows `name` must say; None if it cannot be had."""
    if name == 'arrows':
        return arrows(root)
    if not (root / name).exists():
        return None
    text = (root / name).read_text()
    part = re.search(r'^\s*// README: begin\n(.*?)^\s*// README: end', text, re.M | re.S)
    return (part[1] if part else text).strip('\n')


def fix(root, path):
    def fresh(block):
        now = source_text(root, block[2])
        return block[0] if now is None else block[1] + now + '\n' + block[4]
    path.write_text(SAME.sub(fresh, path.read_text()))


def check_document(root, path, tests, metrics, words=None, behaviours=frozenset()):
    """(line, problem) for everything in one document that is not so."""
    text = path.read_text()
    line_of = lambda offset: text.count('\n', 0, offset) + 1
    prose = re.sub(r'```.*?```', lambda m: re.sub(r'[^\n]', ' ', m[0]), text, flags=re.S)
    for found in LINK.finditer(prose):
        target, _, fragment = found[1].partition('#')
        if re.match(r'[a-z]+:', found[1]):
            continue
        where = (path.parent / target) if target else path
        if not where.exists():
            yield line_of(found.start()), f'link to {target}, which is not there'
        elif fragment and where.suffix == '.md' and fragment not in anchors(where.read_text()):
            yield line_of(found.start()), f'link to #{fragment}, which is no heading of {where.name}'
    for found in BEHAVIOURS.finditer(prose):
        for name in re.findall(r'\w+', found[1].replace(' and ', ' ')):
            if behaviours and name not in behaviours:
                yield line_of(found.start()), f'there is no behaviour {name}'
    for found in CODE.finditer(prose):
        code = found[1]
        for name in PATH.finditer(code):
            before = code[:name.start()][-1:]
            if before and before not in ' :(\'"':
                continue  # inside another path, such as build/run/…
            if not is_there(root, name[0]):
                yield line_of(found.start()), f'{name[0]} is not there'
        if TEST.fullmatch(code) and code not in tests:
            yield line_of(found.start()), f'there is no test {code}'
        member = MEMBER.fullmatch(code)
        if member and words is not None and not any({member[1], member[2].strip('~')} <= file for file in words):
            yield line_of(found.start()), f'there is no {code}'
        name = METRIC.match(code)
        if name and name[0] not in metrics:
            yield line_of(found.start()), f'there is no metric {name[0]}'
    for found in SAME.finditer(text):
        if source_text(root, found[2]) != found[3].strip('\n'):
            yield line_of(found.start()), f'the block differs from {found[2]}: tools/check_docs.py --fix'


def main(root, is_fixing):
    for path in documents(root) if is_fixing else ():
        fix(root, path)
    tests, metrics, words, problems = tests_of(root), metrics_of(root), words_of(root), []
    behaviours = behaviours_of(root)
    for path in documents(root):
        name = path.relative_to(root)
        problems += [f'{name}:{line}: {what}' for line, what in check_document(root, path, tests, metrics, words, behaviours)]
    operations = root / 'docs/operations.md'
    if operations.exists():
        unnamed = metrics - set(re.findall(r'\w+', operations.read_text()))
        problems += [f'docs/operations.md: does not name the metric {name}' for name in sorted(unnamed)]
    seeds = root / 'docs/seeds.md'
    if seeds.exists():
        problems += [f'docs/seeds.md:{line}: {what}' for line, what in check_seeds(seeds.read_text())]
    reasons = root / 'docs/reasons.md'
    if reasons.exists():
        unnamed = reasons_of(root) - set(re.findall(r'`(\w+)`', reasons.read_text()))
        problems += [f'docs/reasons.md: does not name {name}' for name in sorted(unnamed)]
    print('\n'.join(problems) or 'docs: clean')
    return bool(problems)


if __name__ == '__main__':
    arguments = [argument for argument in sys.argv[1:] if argument != '--fix']
    sys.exit(main(pathlib.Path(arguments[0] if arguments else '.').resolve(), '--fix' in sys.argv))
