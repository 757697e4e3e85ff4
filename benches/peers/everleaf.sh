#!/usr/bin/env bash
# everleaf: `everleaf.sh ROW FOLDER` prints the seconds that a row took in FOLDER, and its bytes.
set -euo pipefail
source "$(dirname "$0")/common.sh"
row=$1 at=$2
everleaf() { "${EVERLEAF:?set it to the command to measure}" --vault "$at/vault" "$@"; }
setup() {
    everleaf init --name one >"$at/key" 2>/dev/null
    mkdir "$at/remote"
    everleaf remote add origin "dir:$at/remote" >/dev/null 2>&1
}
deliver() { everleaf import "$at/notes" && everleaf sync; }
case $row in
    new-notes)
        notes "$at/notes" 1000
        setup
        seconds everleaf import "$at/notes"
        ;;
    edited)
        notes "$at/notes" 10000
        setup
        deliver >/dev/null 2>&1
        edit "$at/notes" 100
        before=$(bytes "$at/remote")
        seconds deliver
        echo " $(($(bytes "$at/remote") - before))"
        ;;
    clone)
        notes "$at/notes" 1000
        setup
        deliver >/dev/null 2>&1
        everleaf key >"$at/key" 2>/dev/null
        join() { "$EVERLEAF" --vault "$at/other" join "dir:$at/remote" --key - --name two <"$at/key"; }
        seconds join
        ;;
    images)
        images "$at/notes" 1000 400
        setup
        seconds everleaf import "$at/notes"
        ;;
    titles)
        notes "$at/notes" 10000
        setup
        everleaf import "$at/notes" >/dev/null 2>&1
        seconds everleaf list
        ;;
    *) exit 3 ;;
esac
