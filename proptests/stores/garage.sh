#!/usr/bin/env bash
# Garage, a distributed store, as one node. It takes half an hour to build, so that is done once, and
# elsewhere: cargo install --locked garage --version 2.5.0 (GARAGE is its path, else it is on PATH).
. "$(dirname "$0")/common.sh"
. "$SCRIPTS/garage-common.sh"

start() {
    fresh
    local d="$HOME_OF_STORE" port
    port="$(free_port)"
    configure 0 "$port" "$(free_port)" "$(free_port)" 1
    export GARAGE_DEFAULT_ACCESS_KEY="$KEY" GARAGE_DEFAULT_SECRET_KEY="$SECRET" GARAGE_DEFAULT_BUCKET="$BUCKET"
    daemon node0 "$GARAGE" -c "$d/data/0.toml" server --single-node --default-access-key --default-bucket
    until_true 60 listens "$port" || { tail -3 "$d/log/node0.log" >&2; return 1; }
    until_true 60 has_bucket || { tail -3 "$d/log/node0.log" >&2; return 1; }
    tell "http://127.0.0.1:$port" EVERLEAF_S3_REGION=garage
}

command_line "$@"
