#!/usr/bin/env bash
# Garage as three nodes that keep three copies. Besides what all stores' scripts know, `kill N` and
# `revive N` do that to one node.
. "$(dirname "$0")/common.sh"
. "$SCRIPTS/garage-common.sh"

start() {
    fresh
    local d="$HOME_OF_STORE" n id ids=() ports=() nodes=()
    for n in 0 1 2; do
        ports+=("$(free_port)")
        echo "${ports[n]}" >"$d/data/$n.port"
        configure "$n" "${ports[n]}" "$(free_port)" "$(free_port)" 3
        node "$n"
    done
    {
        for n in 0 1 2; do
            until_true 60 listens "${ports[n]}"
            ids+=("$(ask "$n" node id -q)")
            nodes+=("http://127.0.0.1:${ports[n]}")
        done
        for n in 1 2; do ask 0 node connect "${ids[n]}"; done
        for id in "${ids[@]}"; do ask 0 layout assign -z here -c 1G "${id%%@*}"; done
        ask 0 layout apply --version 1
        until_true 60 whole
        ask 0 key import --yes -n test "$KEY" "$SECRET"
        ask 0 bucket create "$BUCKET"
        ask 0 bucket allow --read --write --owner "$BUCKET" --key "$KEY"
        # Each node has to have heard of the bucket and the key.
        for n in 1 2; do until_true 60 ask "$n" bucket info "$BUCKET"; done
    } >"$d/log/start.log" 2>&1 || { tail -3 "$d/log/start.log" >&2; return 1; }
    tell "${nodes[0]}" EVERLEAF_S3_REGION=garage "EVERLEAF_S3_NODES='${nodes[*]}'" \
        "EVERLEAF_S3_CONTROL='$SCRIPTS/garage3.sh'"
}

node() { daemon "node$1" "$GARAGE" -c "$HOME_OF_STORE/data/$1.toml" server; }

# Whether every node knows of three that are well.
whole() {
    local n
    for n in 0 1 2; do
        [[ "$(ask "$n" status 2>/dev/null | sed -n '/HEALTHY/,/^$/p' | grep -c '127.0.0.1:')" = 3 ]] || return 1
        ! ask "$n" status 2>/dev/null | grep -q FAILED || return 1
    done
}

case "${1:-}" in
    kill) end "$HOME_OF_STORE/run/node$2.pid" KILL ;;
    revive)
        [[ -e "$HOME_OF_STORE/run/node$2.pid" ]] || node "$2"
        until_true 60 listens "$(cat "$HOME_OF_STORE/data/$2.port")"
        # Others may still be dead.
        alive="$(find "$HOME_OF_STORE/run" -name '*.pid' | wc -l)"
        [[ "$alive" -lt 3 ]] || until_true 90 whole
        ;;
    *) command_line "$@" ;;
esac
