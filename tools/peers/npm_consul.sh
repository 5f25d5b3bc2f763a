#!/usr/bin/env bash
# The npm package `consul`, a client of Consul: see npm_package.sh.
exec "$(dirname "$0")/npm_package.sh" consul 2.0.1
