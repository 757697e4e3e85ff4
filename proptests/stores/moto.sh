#!/usr/bin/env bash
# moto, from PyPI: S3 as many test suites know it. It takes any credentials, so it proves nothing of them.
. "$(dirname "$0")/common.sh"

MOTO=5.2.5

install() {
    local d="$HOME_OF_STORE"
    apt_install rclone -- rclone
    [[ "$(cat "$d/installed" 2>/dev/null)" != "$MOTO" ]] || return 0
    apt_install python3 -- python3 python3-venv
    mkdir -p "$d"
    rm -rf "$d/venv"
    if ! python3 -m venv "$d/venv" >"$d/pip.log" 2>&1; then
        left_out "python3 makes no virtual environment: apt-get install python3-venv"
    fi
    "$d/venv/bin/pip" install --disable-pip-version-check -q "moto[server]==$MOTO" >"$d/pip.log" 2>&1 </dev/null ||
        left_out "pip install moto failed: $(tail -1 "$d/pip.log")"
    echo "$MOTO" >"$d/installed"
}

version() { echo "moto $MOTO"; }

start() {
    fresh
    local d="$HOME_OF_STORE" port
    port="$(free_port)"
    daemon moto "$d/venv/bin/python" "$d/venv/bin/moto_server" -H 127.0.0.1 -p "$port"
    until_true 60 listens "$port" || { tail -3 "$d/log/moto.log" >&2; return 1; }
    make_bucket "http://127.0.0.1:$port"
    tell "http://127.0.0.1:$port" EVERLEAF_S3_TRUSTS_ANYBODY=1
}

command_line "$@"
