#!/bin/bash
# Runs the tests that use threads from the build folder given: make tsan builds it with ThreadSanitizer.
set -eu
build=$1
run() { "$build/$1" --gtest_brief=1 --gtest_filter="$2"; }

run core_test 'Epoch.*:RecordRing.*'
run metrics_test 'MetricRegistry.LosesNothingWhenThreads*'
run resilience_test '*.ThreadsTogether*'
# Whole: threads are in most of them, and what waits for a thread to end races where nobody looks.
run io_test '*'
run policy_test '*'
run mesh_test '*'
