#!/usr/bin/env bash
# rclone between folders: `rclone.sh ROW FOLDER` prints the seconds that a row took, and its bytes. What
# it does with a bucket is measured by `cargo bench -- --ratios upload`.
set -euo pipefail
source "$(dirname "$0")/common.sh"
row=$1 at=$2
need rclone || exit 4
deliver() { rclone --config /dev/null sync --transfers 32 "$at/notes" "$at/remote"; }
case $row in
    edited)
        notes "$at/notes" 10000
        deliver 2>/dev/null
        edit "$at/notes" 100
        seconds deliver
        # It copies whole files.
        find "$at/notes" -type f -newer "$at/remote/Note 9999.md" -printf '%s\n' | awk '{ sum += $1 } END { printf " %d\n", sum }'
        ;;
    clone)
        notes "$at/notes" 1000
        seconds deliver
        ;;
    images)
        images "$at/notes" 1000 400
        seconds deliver
        ;;
    *) exit 3 ;;
esac
