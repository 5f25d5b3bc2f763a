#!/usr/bin/env python3
"""What the benchmark scripts compute, on samples of what the tools print. Starts nothing."""
import json
import pathlib
import tempfile
import unittest

import cost
import measure
import micro
import report
import run

STRACE = '''% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 52.30    0.010000           1     20500       500 recvfrom
 47.70    0.009000           0     20000           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.019000           0     40500       500 total
'''


CALLGRIND = '''--------------------------------------------------------------------------------
1,000 (100.0%)  PROGRAM TOTALS

  1,000 (100.0%)  ???:start_thread [/usr/lib/x86_64-linux-gnu/libc.so.6]
    400 (40.00%)  ???:datapunk::mesh::wire::http1::HeadParser::next_line(std::basic_string_view<char, std::char_traits<char> >) [/build/dpmesh]
    150 (15.00%)  ???:0x0000000000017ed0 [/usr/lib/x86_64-linux-gnu/libnghttp2.so.14.24.1]
'''
TRACE = '''7 recvfrom(9, ""..., 16384, 0, NULL, NULL) = 100
7    recvfrom(9, 0x55, 16384, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
8 sendto(9, ""..., 300, MSG_NOSIGNAL, NULL, 0) = 300
'''


def one(cpu=10.0, **more):
    return {'requests_per_s': 1000.0, 'cpu_us_per_request': cpu, 'p50_ms': 1.0, 'p99_ms': 2.0, 'errors': 0, 'busy': 0.9,
            'others': 0.0, 'stolen': 0.0, **more}


def cell(cpu):
    rounds = [one(cpu)]
    return {'median': measure.medians(rounds), 'rounds': rounds, 'rss_mib': 5.0}


class Reading(unittest.TestCase):
    def test_stat_of_a_process_whose_name_has_parentheses(self):
        line = '7 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 5 6 7'
        self.assertEqual(measure.parse_stat(line), (42, 200))

    def test_instructions_of_callgrind_by_room_and_function(self):
        total, rows = cost.parse_callgrind(CALLGRIND)
        self.assertEqual(total, 1000)
        self.assertEqual(cost.summed(rows, cost.room_of), [('wire', 400), ('nghttp2', 150)])
        self.assertEqual(cost.summed(rows, cost.short), [('wire::http1::HeadParser::next_line', 400), ('libnghttp2 0x0000000000017ed0', 150)])

    def test_calls_of_strace_with_their_bytes(self):
        self.assertEqual(cost.parse_calls(TRACE), {'recvfrom': [2, 1, 100], 'sendto': [1, 0, 300]})

    def test_own_process_group_has_cpu_and_memory(self):
        import os
        self.assertIn(os.getpid(), measure.group(os.getpgrp()))
        self.assertGreater(measure.rss_mib(os.getpgrp()), 1)

    def test_strace_table_with_and_without_errors(self):
        self.assertEqual(measure.parse_strace(STRACE), {'recvfrom': 20500, 'sendto': 20000})

    def test_wrk_result_among_its_chatter(self):
        text = 'Running 1s test\nRESULT {"requests": 5, "seconds": 1.0, "p50_us": 1, "p99_us": 2, "errors": 0}\n'
        self.assertEqual(measure.parse_wrk(text)['requests'], 5)
        self.assertRaises(RuntimeError, measure.parse_wrk, 'unable to connect')

    def test_machine_description_is_a_file_name(self):
        self.assertEqual(measure.slug({'cpu': 'Intel Xeon @ 2.50GHz', 'cores': 2}), 'intel-xeon-2-50ghz-2-cores')

    def test_version_of_a_missing_program_is_none(self):
        self.assertIsNone(measure.version(['no-such-program', '-v']))


class Medians(unittest.TestCase):
    def test_leave_disturbed_rounds_out(self):
        rounds = [one(10), one(12), one(90, others=0.2), one(95, stolen=0.2)]
        self.assertEqual(measure.medians(rounds)['cpu_us_per_request'], 11)
        self.assertAlmostEqual(measure.spread(rounds, 'cpu_us_per_request'), 2 / 11)

    def test_use_disturbed_rounds_when_there_are_no_others(self):
        self.assertEqual(measure.medians([one(90, others=0.2)])['cpu_us_per_request'], 90)

    def test_never_hide_errors(self):
        self.assertEqual(measure.medians([one(), one(errors=3), one(errors=2, others=0.5)])['errors'], 5)


class Report(unittest.TestCase):
    CELLS = {(64, 'haproxy'): cell(10.0), (64, 'nginx'): cell(8.0), (64, 'dpmesh'): cell(7.0)}

    def test_goals_are_judged_by_the_ratio(self):
        met, missed = report.goal_lines(self.CELLS)
        self.assertIn('0.70, met', met)
        self.assertIn('0.88, MISSED', missed)
        self.assertEqual(list(report.goal_lines({(64, 'haproxy'): cell(10.0)})), [])

    def test_table_has_a_row_per_proxy_with_both_ratios(self):
        lines = report.size_table('t', self.CELLS)
        self.assertEqual(len(lines), 3 + 3 + 1)
        self.assertRegex(lines[5], r'dpmesh .* 0\.70 +0\.88$')

    def test_syscalls_besides_epoll_are_judged(self):
        lines = report.syscall_lines({'dpmesh': {'recvfrom': 2.0, 'writev': 2.0, 'epoll_wait': 0.3}, 'nginx': None})
        self.assertIn('4.00, met', lines[-2])
        self.assertIn('not measured', lines[2])
        self.assertIn('not measured', report.syscall_lines({'dpmesh': None})[0])


class Micro(unittest.TestCase):
    def test_takes_medians_in_ns_and_skips_failed_runs(self):
        text = json.dumps({'benchmarks': [
            {'name': 'Cycle_mean', 'run_name': 'Cycle', 'aggregate_name': 'mean', 'cpu_time': 9, 'time_unit': 'ns'},
            {'name': 'Cycle_median', 'run_name': 'Cycle', 'aggregate_name': 'median', 'cpu_time': 0.05, 'time_unit': 'us'},
            {'name': 'Bad', 'error_occurred': True, 'cpu_time': 1, 'time_unit': 'ns'}]})
        self.assertEqual(micro.parse(text), {'Cycle': 50.0})

    def test_puts_each_decision_beside_the_clock(self):
        lines = micro.table({'policy_bench': {'Cycle': 50.0, 'ClockGettime': 25.0, 'Unrelated': 1.0}})
        self.assertTrue(any('Cycle' in line and line.endswith('2.00') for line in lines))
        self.assertFalse(any('Unrelated' in line for line in lines))
        self.assertEqual(micro.table({}), [])

    def test_without_a_clock_there_is_no_ratio(self):
        self.assertTrue(micro.table({'balance_bench': {'Pick': 5.0}})[-2].endswith(' -'))


class Configs(unittest.TestCase):
    def test_no_placeholder_is_left(self):
        with tempfile.TemporaryDirectory() as name:
            for template in ('backend.nginx.conf', 'nginx.conf', 'haproxy.cfg', 'dpmesh.yaml'):
                path = run.fill(template, pathlib.Path(name), PORT=1, BACKEND=2, ADMIN=3, SMALL='x')
                self.assertNotRegex(path.read_text(), r'@[A-Z]+@')


if __name__ == '__main__':
    unittest.main()
