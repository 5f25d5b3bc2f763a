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
    'src/balance/pick_test.cpp': 'TEST(Pick, TakesTheFirst) {}\nTEST_F(\n    PickTest, TakesTheOther\n) {}\n',
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
