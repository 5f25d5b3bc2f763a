#!/bin/bash
# Runs the tests that use threads from the build folder given: make tsan builds it with ThreadSanitizer.
set -eu
build=$1
run() { "$build/$1" --gtest_brief=1 --gtest_filter="$2"; }

run core_test 'Epoch.*:RecordRing.*'
run metrics_test 'MetricRegistry.LosesNothingWhenThreads*'
run resilience_test '*.ThreadsTogether*'
run io_test 'FramePoolTest.*:LineWriter*:LogSinkTest.*:LoopTest.*'
run policy_test 'PlaceWait.*:Breakers.HoldUnder*:EndpointTable*:PolicyChange.CallsOf*:ChangingWeights.ThreadsCall*:ConcurrencyLimit.*:Worker*'
run mesh_test 'ServiceMesh.*:CustomBackendTest.AReplyMayCome*:OneId.*:SlowSubscriber.*:EmbeddedMesh.*'
