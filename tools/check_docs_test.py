#!/usr/bin/env python3
"""Tests of check_docs.py: each rule finds what it should and leaves the rest alone."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_docs

FILES = {
    'src/balance/pick.cpp': 'int pick();\n',
    'src/balance/picker.h': 'class Picker { int take(); };\n',
    'src/balance/pick_test.cpp': 'TEST(Pick, TakesTheFirst) {}\nTEST_F(\n    PickTest, TakesTheOther\n) {}\nINSTANTIATE_TEST_SUITE_P(\n    All, PickTest, Values(1));\n',
    'src/metrics/names.h': 'inline constexpr MetricFamily kRequests{"mesh_requests_total", counter};\n',
    'examples/small.cpp': 'before\n// README: begin\nint main() {}\n// README: end\nafter\n',
    'CMakeLists.txt': 'mesh_room(core LIBS fmt)\nmesh_room(balance NEEDS core gone LIBS x TEST_NEEDS sim)\nmesh_room(gone)\n',
    'docs/other.md': '# Other page\n\n## What is `this`?\n',
}


class CheckDocs(unittest.TestCase):
    def problems(self, text):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            for name, content in {**FILES, 'docs/page.md': text}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(content)
            found = check_docs.check_document(
                root, root / 'docs/page.md', check_docs.tests_of(root), check_docs.metrics_of(root),
                check_docs.words_of(root))
            return [f'{line}: {what}' for line, what in found]

    def test_links(self):
        self.assertEqual(self.problems('[a](other.md) [b](../src/balance/) [c](https://x.y/z) [d](#top)\n# Top'), [])
        self.assertEqual(self.problems('\n[a](gone.md)'), ['2: link to gone.md, which is not there'])
        self.assertEqual(self.problems('[a](other.md#what-is-this)'), [])
        self.assertEqual(len(self.problems('[a](other.md#what-is-that)')), 1)

    def test_paths(self):
        self.assertEqual(self.problems('`src/balance/pick.cpp` `src/balance/*_test.cpp` `src/balance/pick{,_test}.cpp`'), [])
        self.assertEqual(self.problems('`build/src/anything.o` `other/src/x.h` src/not/code.h'), [])
        self.assertEqual(self.problems('`src/balance/gone.h`'), ['1: src/balance/gone.h is not there'])
        self.assertEqual(len(self.problems('`cat src/balance/gone.h`')), 1)
        self.assertEqual(len(self.problems('`src/balance/pick{,_gone}.cpp`')), 1)

    def test_tests(self):
        self.assertEqual(self.problems('`Pick.TakesTheFirst` `PickTest.TakesTheOther` `EndpointSet.stale`'), [])
        self.assertEqual(self.problems('`Pick.TakesTheLast`'), ['1: there is no test Pick.TakesTheLast'])
        self.assertEqual(self.problems('`All/PickTest.TakesTheOther`'), [])
        self.assertEqual(self.problems('`Some/PickTest.TakesTheOther`'), ['1: there is no test Some/PickTest.TakesTheOther'])

    def test_behaviours(self):
        known = {'ItStays', 'ItGoes'}
        with tempfile.TemporaryDirectory() as directory:
            page = pathlib.Path(directory) / 'page.md'
            page.write_text('behaviours `ItStays`, `ItGoes`; behaviour `ItSleeps`')
            self.assertEqual(list(check_docs.check_document(page.parent, page, set(), set(), None, known)),
                             [(1, 'there is no behaviour ItSleeps')])

    def test_seeds(self):
        def problems(thing, line):
            head = '| id | what | state | where | tests |\n|---|---|---|---|---|\n'
            return [what for _, what in check_docs.check_seeds(f'{head}{thing}\n\n| lines | statement | where |\n|---|---|---|\n{line}\n')]
        good = '| R1 | a thing | yes | `a.h` | `Pick.TakesTheFirst` |'
        untested = '| R1 | a thing | otherwise: not needed | | |'
        self.assertEqual(problems(good, '| 7 | issue: it breaks | R1 |'), [])
        self.assertEqual(problems(good, '| 7–9 | a statement | otherwise: `b.h` |'), [])
        self.assertEqual(problems('| R1 | a thing | yes | `a.h` | |', '| 7 | a | R1 |'), ['R1 is there, and no test says so'])
        self.assertEqual(problems(good, '| 7 | a | R1–R2 |'), ['points to R2, which is not there'])
        self.assertEqual(problems(good, '| 7 | a | |'), ['line 7 says nowhere where it is true'])
        self.assertEqual(problems(untested, '| 7 | issue: it breaks | R1 |'), ['the issue of line 7 has no test'])
        self.assertEqual(problems(untested, '| 7 | issue: it breaks | `Pick.TakesTheFirst` |'), [])

    def test_members(self):
        self.assertEqual(self.problems('`Picker::take` `balance::Picker::take()` `std::move`'), [])
        self.assertEqual(self.problems('`Picker::give`'), ['1: there is no Picker::give'])
        self.assertEqual(self.problems('`Picker::pick`'), ['1: there is no Picker::pick'])

    def test_metrics(self):
        self.assertEqual(self.problems('`mesh_requests_total` `mesh_room` `mesh_flags`'), [])
        self.assertEqual(self.problems('`mesh_gone_total`'), ['1: there is no metric mesh_gone_total'])

    def test_reasons(self):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            (root / 'src/proxy').mkdir(parents=True)
            (root / 'src/proxy/replies.cpp').write_text('return "limit";\nreturn "unknown";\n')
            (root / 'src/wire/http1').mkdir(parents=True)
            (root / 'src/wire/http1/message.cpp').write_text('{"none", 0},\n{"bare_lf", 400},\n')
            self.assertEqual(check_docs.reasons_of(root), {'limit', 'bare_lf'})

    def test_blocks(self):
        block = '<!-- text of examples/small.cpp -->\n```cpp\n%s```\n<!-- end -->\n'
        self.assertEqual(self.problems(block % 'int main() {}\n'), [])
        self.assertEqual(len(self.problems(block % 'int main() { }\n')), 1)


    def test_arrows_and_fix(self):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            for name, content in FILES.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(content)
            self.assertEqual(check_docs.arrows(root), 'balance    —')
            (root / 'src/core').mkdir()
            self.assertEqual(check_docs.arrows(root), 'core       —\nbalance    core')
            page = root / 'docs/page.md'
            page.write_text('a\n<!-- text of arrows -->\n```\n```\n<!-- end -->\nb\n')
            self.assertEqual(len(list(check_docs.check_document(root, page, set(), set()))), 1)
            check_docs.fix(root, page)
            self.assertEqual(page.read_text(), 'a\n<!-- text of arrows -->\n```\ncore       —\nbalance    core\n```\n<!-- end -->\nb\n')
            self.assertEqual(list(check_docs.check_document(root, page, set(), set())), [])


if __name__ == '__main__':
    unittest.main()
