#!/usr/bin/env bash
# npm_package.sh NAME VERSION [ANOTHER@VERSION...]: installs a package from npm, a program that others wrote, for the tests, and
# prints the folder whose node_modules has it. Kept under build/peers/; a second run prints the folder at
# once. Several runs at a time wait for the first. No script of any package is run.
set -euo pipefail

name=$1 version=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
home=${PEERS_DIR:-$root/build/peers}/npm-$name-$version

mkdir -p "$home"
exec 9>"$home/lock"
flock 9
if [ -f "$home/root/node_modules/$name/package.json" ]; then
  echo "$home/root"
  exit 0
fi

command -v npm >/dev/null || { echo "npm_package.sh: needs npm" >&2; exit 1; }
rm -rf "$home/new" "$home/root"
mkdir "$home/new"
npm install --prefix "$home/new" --cache "$home/cache" --ignore-scripts --no-audit --no-fund --loglevel=error "$name@$version" "$@" >&2
rm -rf "$home/cache"
mv "$home/new" "$home/root"
[ -f "$home/root/node_modules/$name/package.json" ] || { echo "npm_package.sh: the package is not there" >&2; exit 1; }
echo "$home/root"
