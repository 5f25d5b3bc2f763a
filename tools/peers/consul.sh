#!/usr/bin/env bash
# Fetches a real Consul for the tests and prints the path of its binary.
#
# Debian 11 has consul 1.8.7, the last one in Debian; it runs on later releases unchanged. It is
# fetched with apt from the mirror this machine already uses, but with an apt state of its own, so
# that neither the package lists nor the installed packages of the machine change. Kept under
# build/peers/; a second run prints the path at once. Several runs at a time wait for the first.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
home=${PEERS_DIR:-$root/build/peers}/consul
binary=$home/root/usr/bin/consul
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

mkdir -p "$home"
exec 9>"$home/lock"
flock 9
if [ -x "$binary" ]; then
  echo "$binary"
  exit 0
fi

command -v apt-get >/dev/null || { echo "consul.sh: needs apt-get" >&2; exit 1; }
[ -r "$keyring" ] || { echo "consul.sh: $keyring is missing (package debian-archive-keyring)" >&2; exit 1; }

# The mirror of Debian itself: not the security archive, not other vendors.
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
  sed -n 's/^Debian|Debian|//p' | sort -u | head -n 1)
[ -n "$mirror" ] || { echo "consul.sh: no Debian mirror in this machine's apt sources (run apt-get update)" >&2; exit 1; }

state=$home/apt
mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/sources.d"
: >"$state/status"
architecture=$(dpkg --print-architecture)
echo "deb [arch=$architecture signed-by=$keyring] $mirror bullseye main" >"$state/sources.list"

private=(
  -o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status"
  -o "Dir::Cache=$state/cache" -o "Dir::Etc::sourcelist=$state/sources.list"
  -o "Dir::Etc::sourceparts=$state/sources.d" -o "APT::Sandbox::User="
)
apt-get "${private[@]}" update -qq >&2
rm -f "$state"/consul_*.deb
(cd "$state" && apt-get "${private[@]}" download -qq consul >&2)

rm -rf "$home/new"
dpkg -x "$state"/consul_*.deb "$home/new"
rm -rf "$home/root" "$state"
mv "$home/new" "$home/root"
[ -x "$binary" ] || { echo "consul.sh: the package holds no usr/bin/consul" >&2; exit 1; }
echo "$binary"
