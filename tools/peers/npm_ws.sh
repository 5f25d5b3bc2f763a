#!/usr/bin/env bash
# The npm package `ws`, a WebSocket client and server: see npm_package.sh.
exec "$(dirname "$0")/npm_package.sh" ws 8.18.0
