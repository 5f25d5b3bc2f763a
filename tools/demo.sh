#!/usr/bin/env bash
# The demonstration behind `make run`: an agent with the embedded registry, three instances of
# api_service and one of web that register themselves, and steady traffic through a sidecar listener.
# On the way one instance is killed and one made slow. Usage: tools/demo.sh BUILD_DIR
# RUN_SECONDS=20 ends by itself with a summary; exit status 1 if a request failed.
set -euo pipefail

bin=${1:?usage: tools/demo.sh BUILD_DIR}
cd "$(dirname "$0")/.."
seconds=${RUN_SECONDS:-0}
registry=127.0.0.1:8500
admin=127.0.0.1:19000
listener=127.0.0.1:15001
logs=build/demo
mkdir -p "$logs"
rm -f "$logs"/*.log

pids=()
cleanup() {
  trap - EXIT INT TERM
  # Newest first: services deregister while the registry still answers.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill -TERM "${pids[i]}" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start() { # start NAME COMMAND...: in the background, its output in a log
  local name=$1
  shift
  # In a session of its own: Ctrl-C ends the traffic first, then cleanup() what it goes through.
  setsid "$@" >"$logs/$name.log" 2>&1 &
  pids+=($!)
  eval "pid_$name=$!"
  disown $!  # no word from the shell when one is killed on purpose
}

await() { # await SECONDS WHAT COMMAND...: until the command succeeds
  local limit=$1 what=$2
  shift 2
  for ((i = 0; i < limit * 5; i++)); do
    "$@" >/dev/null 2>&1 && return 0
    kill -0 "$pid_agent" 2>/dev/null || { echo "The agent ended:" >&2; tail -n 5 "$logs/agent.log" >&2; exit 1; }
    sleep 0.2
  done
  echo "Gave up waiting for $what; the logs are in $logs/" >&2
  tail -n 5 "$logs"/*.log >&2
  exit 1
}

passing() { # passing NAME COUNT
  [ "$("$bin/dpmesh" endpoints "$1" --registry $registry | grep -c ' passing ')" -ge "$2" ]
}

start agent "$bin/dpmesh" agent --dev --config examples/demo.yaml
await 10 "the registry" "$bin/dpmesh" services --registry $registry --timeout-ms 500
for i in 1 2 3; do start "api_$i" "$bin/api_service" --registry $registry; done
start web "$bin/web" --registry $registry
await 30 "three healthy instances of api_service" passing api_service 3
await 30 "a healthy instance of web" passing web 1

cat <<EOF

Datapunk Mesh is running.
  registry   http://$registry/v1/catalog/services   (Consul's API; try: curl, or $bin/dpmesh services)
  admin      http://$admin/   /endpoints /events /config /ready
  metrics    http://$admin/metrics
  sidecar    http://$listener/   -> api_service, three instances
  logs       $logs/

EOF
"$bin/dpmesh" endpoints api_service --registry $registry
echo

kill_after=$((seconds > 0 ? seconds * 3 / 10 : 10))
slow_after=$((seconds > 0 ? seconds * 6 / 10 : 20))
(
  sleep "$kill_after"
  kill -KILL "$pid_api_1"
  echo "      --- killed one instance of api_service"
  sleep $((slow_after - kill_after))
  kill -USR1 "$pid_api_2"
  echo "      --- made another one slow (300 ms an answer)"
) &
pids+=($!)

options=(--target $listener --admin $admin)
[ "$seconds" -gt 0 ] && options+=(--seconds "$seconds")
"$bin/demo_traffic" "${options[@]}" &
traffic=$!
pids+=("$traffic")
status=0
wait "$traffic" || status=$?
exit "$status"
