#!/usr/bin/env bash
# Installs what is missing from Debian, and nothing else. Usage: tools/bootstrap.sh build [test]
# With PEERS=0 the foreign programs that tests talk to are left out.
set -euo pipefail

build=(
  clang-19 lld-19 cmake ninja-build ccache pkg-config
  libssl-dev libsqlite3-dev libsimdjson-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev
  libspdlog-dev libfmt-dev libxxhash-dev libnghttp2-dev libre2-dev libzookeeper-st-dev
)
check=(g++-12 clang-format-19 clang-tidy-19 libclang-rt-19-dev python3 libgtest-dev libgmock-dev libbenchmark-dev)
peers=(
  curl nghttp2-client nghttp2-proxy openssl prometheus haproxy nginx-light wrk python3-consul strace
  redis-server etcd-server bind9 bind9-dnsutils zookeeper default-jre-headless python3-grpcio patroni postgresql-15
  nftables iproute2 libboost1.74-dev node-llhttp
)
# Node.js of another vendor brings npm along.
command -v npm >/dev/null || peers+=(nodejs npm)

want=()
for group in "$@"; do
  case "$group" in
    build) want+=("${build[@]}") ;;
    test) want+=("${check[@]}"); [ "${PEERS:-1}" = 0 ] || want+=("${peers[@]}") ;;
    *) echo "usage: $0 build [test]" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${want[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "These Debian 12 packages are missing and there is no apt-get to install them: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Run as root, or install sudo; missing: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing from Debian: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
# RUNLEVEL=1: what is installed for the tests is not started as a service of this machine.
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
