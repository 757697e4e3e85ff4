#!/usr/bin/env bash
# restic: `restic.sh ROW FOLDER` prints the seconds that a row took in FOLDER, and its bytes.
set -euo pipefail
source "$(dirname "$0")/common.sh"
row=$1 at=$2
need restic || exit 4
export RESTIC_PASSWORD=bench RESTIC_REPOSITORY="$at/remote" RESTIC_CACHE_DIR="$at/cache"
keep() { restic -q backup "$at/notes"; }
case $row in
    new-notes)
        notes "$at/notes" 1000
        restic -q init
        seconds keep
        ;;
    edited)
        notes "$at/notes" 10000
        restic -q init
        keep
        edit "$at/notes" 100
        before=$(bytes "$at/remote")
        seconds keep
        echo " $(($(bytes "$at/remote") - before))"
        ;;
    clone)
        notes "$at/notes" 1000
        restic -q init
        keep
        seconds restic -q restore latest --target "$at/other"
        ;;
    images)
        images "$at/notes" 1000 400
        restic -q init
        seconds keep
        ;;
    *) exit 3 ;;
esac
