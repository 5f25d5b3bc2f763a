#!/usr/bin/env bash
# The npm package `grpc-web`, gRPC's own client for browsers, and `xhr2`, their XMLHttpRequest for Node.js: see npm_package.sh.
exec "$(dirname "$0")/npm_package.sh" grpc-web 2.1.1 xhr2@0.2.1
