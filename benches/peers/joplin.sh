#!/usr/bin/env bash
# Joplin's command, with a folder to sync with: `joplin.sh ROW FOLDER` prints the seconds that a row took in
# FOLDER, and its bytes. Notes are edited by its own server, in one process.
#
# No package's script is run but that of SQLite, which is built here where its maker's builds can't be had; that
# takes the headers of node, which are looked for beside it.
set -euo pipefail
source "$(dirname "$0")/common.sh"
row=$1 at=$2
PACKAGES=$(packages joplin joplin@3.5.1 --ignore-scripts) || exit 4
if [[ ! -f "$PACKAGES/built" ]]; then
    npm_config_nodedir="$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")"
    export npm_config_nodedir
    (cd "$PACKAGES/node_modules/sqlite3" && ../.bin/node-pre-gyp install --fallback-to-build) >"$PACKAGES.log" 2>&1 || exit 4
    touch "$PACKAGES/built"
fi
joplin() { "$PACKAGES/node_modules/.bin/joplin" --profile "$at/${device:-one}" "$@"; }
# A device that syncs with the folder.
setup() {
    mkdir -p "$at/remote" "$at/${device:-one}"
    joplin config sync.target 2 >/dev/null
    joplin config sync.2.path "$at/remote" >/dev/null
}
keep() { joplin import --format md "$at/notes"; }
case $row in
    new-notes)
        notes "$at/notes" 1000
        setup
        seconds keep
        ;;
    edited)
        notes "$at/notes" 10000
        setup
        keep >/dev/null
        joplin sync >/dev/null
        port=$((20000 + RANDOM % 20000))
        joplin config api.port "$port" >/dev/null
        joplin config api.token bench >/dev/null
        "$PACKAGES/node_modules/.bin/joplin" --profile "$at/one" server start --quiet >"$at/said" 2>&1 &
        server=$!
        trap 'kill "$server" 2>/dev/null || true' EXIT
        edits() { node "$(dirname "$0")/joplin.mjs" "$port" bench "$1"; }
        until edits 0 2>/dev/null; do sleep 0.2; done
        edited=$(seconds edits 100)
        kill "$server"
        wait "$server" || true
        touch "$at/before"
        synced=$(seconds joplin sync)
        awk -v a="$edited" -v b="$synced" 'BEGIN { printf "%.3f", a + b }'
        echo " $(find "$at/remote" -type f -newer "$at/before" -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')"
        ;;
    clone)
        notes "$at/notes" 1000
        setup
        keep >/dev/null
        joplin sync >/dev/null
        device=two
        setup
        seconds joplin sync
        ;;
    images)
        images "$at/notes" 1000 400
        setup
        seconds keep
        ;;
    titles)
        notes "$at/notes" 10000
        setup
        keep >/dev/null
        joplin use notes >/dev/null
        seconds joplin ls
        ;;
    *) exit 3 ;;
esac
