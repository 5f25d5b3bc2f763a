#!/usr/bin/env bash
# Installs the npm package `consul`, a client that others wrote, for the tests, and prints the folder
# whose node_modules has it. Kept under build/peers/; a second run prints the folder at once. Several
# runs at a time wait for the first. No script of any package is run.
set -euo pipefail

version=2.0.1
root=$(cd "$(dirname "$0")/../.." && pwd)
home=${PEERS_DIR:-$root/build/peers}/npm-consul-$version

mkdir -p "$home"
exec 9>"$home/lock"
flock 9
if [ -f "$home/root/node_modules/consul/package.json" ]; then
  echo "$home/root"
  exit 0
fi

command -v npm >/dev/null || { echo "npm_consul.sh: needs npm" >&2; exit 1; }
rm -rf "$home/new" "$home/root"
mkdir "$home/new"
npm install --prefix "$home/new" --cache "$home/cache" --ignore-scripts --no-audit --no-fund --loglevel=error "consul@$version" >&2
rm -rf "$home/cache"
mv "$home/new" "$home/root"
[ -f "$home/root/node_modules/consul/package.json" ] || { echo "npm_consul.sh: the package is not there" >&2; exit 1; }
echo "$home/root"
