#!/usr/bin/env bash
# automerge-repo with its file storage, and its WebSocket sync to another process on this machine:
# `automerge-repo.sh ROW FOLDER` prints the seconds that a row took in FOLDER, and its bytes. It syncs no
# file to disk.
set -euo pipefail
source "$(dirname "$0")/common.sh"
row=$1 at=$2
PACKAGES=$(packages automerge-repo @automerge/automerge-repo@2 @automerge/automerge-repo-storage-nodefs@2 \
    @automerge/automerge-repo-network-websocket@2 isomorphic-ws ws) || exit 4
export PACKAGES
repo() { node "$(dirname "$0")/automerge-repo.mjs" "$@"; }
serve() {
    port=$((20000 + RANDOM % 20000))
    node "$(dirname "$0")/automerge-repo.mjs" server "$at/remote" "$port" >"$at/said" 2>&1 &
    server=$!
    touch "$at/said"
    trap 'kill "$server"' EXIT
    until grep -q ready "$at/said"; do sleep 0.05; done
}
case $row in
    new-notes)
        notes "$at/notes" 1000
        seconds repo keep "$at/store" "$at/notes"
        ;;
    edited)
        notes "$at/notes" 10000
        serve
        repo edit "$at/store" "$at/notes" "$port"
        edit "$at/notes" 100
        seconds repo edit "$at/store" "$at/notes" "$port"
        ;;
    clone)
        notes "$at/notes" 1000
        serve
        repo edit "$at/store" "$at/notes" "$port"
        seconds repo clone "$at/other" "$port" "$at/store.json"
        ;;
    titles)
        notes "$at/notes" 10000
        repo keep "$at/store" "$at/notes"
        seconds repo titles "$at/store"
        ;;
    *) exit 3 ;;
esac
