#!/usr/bin/env bash
# What people would use instead, on the same work in the same run: `compare.sh [ROW]...` times everleaf and
# each peer in turns, and prints the medians and their ratios as rows of a table.
#
# Rows: new-notes edited clone images titles. ROUNDS says how often (3), EVERLEAF which command to measure
# (else it is built), TMPDIR where (the disk matters), PEERS where npm's packages are kept. Peers: git,
# restic, rclone, automerge-repo, joplin, or those that ONLY names; one that can be neither found nor installed
# is left out, and said to be.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [[ -z "${EVERLEAF:-}" ]]; then
    (cd "$here/../.." && cargo build --release --quiet --bin everleaf)
    EVERLEAF="${CARGO_TARGET_DIR:-$here/../../target}/release/everleaf"
fi
export EVERLEAF
rounds=${ROUNDS:-3}
rows=("$@")
((${#rows[@]})) || rows=(new-notes edited clone images titles)

# The middle one of some numbers.
median() { sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

# Does a row once; prints seconds and bytes.
once() {
    local at status=0
    at=$(mktemp -d)
    "$here/$1.sh" "$2" "$at" || status=$?
    rm -rf "$at"
    return $status
}

echo '| row | everleaf | peer | ratio | bytes: everleaf, peer |'
echo '| --- | --- | --- | --- | --- |'
for row in "${rows[@]}"; do
    for peer in ${ONLY:-git restic rclone automerge-repo joplin}; do
        ours='' theirs='' status=0
        for ((round = 0; round < rounds; round++)); do
            theirs+="$(once "$peer" "$row")"$'\n' || { status=$?; break; }
            ours+="$(once everleaf "$row")"$'\n'
        done
        case $status in
            0) ;;
            3) continue ;; # It has nothing of that kind.
            4) echo "left out, since it can't be had here: $peer" >&2; continue ;;
            *) echo "failed: $peer $row" >&2; continue ;;
        esac
        us=$(printf '%s' "$ours" | awk '{ print $1 }' | median)
        them=$(printf '%s' "$theirs" | awk '{ print $1 }' | median)
        bytes="$(printf '%s' "$ours" | awk 'NF > 1 { print $2 }' | median), $(printf '%s' "$theirs" | awk 'NF > 1 { print $2 }' | median)"
        awk -v row="$row" -v us="$us" -v peer="$peer" -v them="$them" -v bytes="$bytes" 'BEGIN {
            printf "| %s | %s s | %s %s s | %.2f × | %s |\n", row, us, peer, them, us / them, bytes == ", " ? "" : bytes
        }'
    done
done
