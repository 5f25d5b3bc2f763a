#!/usr/bin/env python3
"""The pictures of sim_balance: well-formed, one a scenario, without the oracle, the same every time."""
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from unittest import mock

import plot_balance

CSV = '''scenario,algorithm,p50_ms,p99_ms,p999_ms,p99_ratio,imbalance,bad,failed
a_b,oracle,5,16,23,1.0,1,0,0
a_b,"x <&> y",5,16,23,0.9,1,0,0
a_b,round_robin,5,16000,23,1000.0,1,0,0
c,random,5,17,23,1.2,1,0,0
'''


class Pictures(unittest.TestCase):
    def draw(self, directory: pathlib.Path) -> dict[str, bytes]:
        (directory / 'in.csv').write_text(CSV)
        with mock.patch.object(sys, 'argv', ['plot', str(directory / 'in.csv'), str(directory / 'out')]):
            self.assertEqual(plot_balance.main(), 0)
        return {path.name: path.read_bytes() for path in (directory / 'out').iterdir()}

    def test_draws_each_scenario(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            drawn = self.draw(pathlib.Path(one))
            self.assertEqual(drawn, self.draw(pathlib.Path(two)))
        self.assertEqual(sorted(drawn), ['a_b.svg', 'c.svg'])
        texts = [node.text for node in xml.fromstring(drawn['a_b.svg']).iter() if node.text]
        self.assertIn('x <&> y', texts)
        self.assertIn('1,000', texts)
        self.assertNotIn('oracle', texts)

    def test_a_longer_bar_is_a_worse_one_and_none_leaves_the_picture(self):
        with tempfile.TemporaryDirectory() as directory:
            drawn = self.draw(pathlib.Path(directory))
        bars = [node for node in xml.fromstring(drawn['a_b.svg']).iter() if node.get('height') == '14']
        widths = [float(bar.get('width')) for bar in bars]
        self.assertLess(widths[0], widths[1])
        self.assertLessEqual(plot_balance.LABELS + widths[1], plot_balance.WIDTH - plot_balance.RIGHT + 0.1)


if __name__ == '__main__':
    unittest.main()
