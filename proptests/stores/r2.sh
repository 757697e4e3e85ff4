#!/usr/bin/env bash
# Cloudflare's own simulator of R2, as `wrangler dev` runs it: R2's error codes and its limits.
. "$(dirname "$0")/common.sh"

WRANGLER=4.164.0
NODE=22.23.3

install() {
    local d="$HOME_OF_STORE"
    [[ "$(cat "$d/installed" 2>/dev/null)" != "$WRANGLER $NODE" ]] || return 0
    apt_install npm -- npm
    rm -rf "$d/node_modules" "$d/package.json"
    mkdir -p "$d"
    # The store's own folder, or npm would look for one further up.
    echo '{ "private": true }' >"$d/package.json"
    npm --prefix "$d" install --no-audit --no-fund --loglevel=error \
        "wrangler@$WRANGLER" "node@$NODE" >"$d/npm.log" 2>&1 </dev/null ||
        left_out "npm install wrangler@$WRANGLER node@$NODE failed: $(tail -1 "$d/npm.log")"
    echo "$WRANGLER $NODE" >"$d/installed"
}

version() { echo "Cloudflare's simulator (wrangler $WRANGLER)"; }

start() {
    fresh
    local d="$HOME_OF_STORE" port
    port="$(free_port)"
    # Node looks for packages from where a script lies.
    cp "$SCRIPTS/r2.mjs" "$d/data/"
    daemon simulator env PORT="$port" KEY="$KEY" SECRET="$SECRET" BUCKET="$BUCKET" \
        MINIFLARE_WORKERD_CONFIG_DEBUG= WRANGLER_SEND_METRICS=false \
        PATH="$d/node_modules/.bin:$PATH" "$d/node_modules/.bin/node" "$d/data/r2.mjs"
    until_true 60 grep -qs '^ready' "$d/log/simulator.log" || { tail -3 "$d/log/simulator.log" >&2; return 1; }
    tell "http://127.0.0.1:$port/cdn-cgi/local/r2/s3"
}

command_line "$@"
