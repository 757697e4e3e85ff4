#!/usr/bin/env bash
# git, with every object synced: `git.sh ROW FOLDER` prints the seconds that a row took, and its bytes.
set -euo pipefail
source "$(dirname "$0")/common.sh"
row=$1 at=$2
need git || exit 4
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git() { command git -C "$at/notes" -c core.fsync=all -c core.fsyncMethod=fsync -c gc.auto=0 "$@"; }
keep() { git add -A && git commit -qm all; }
deliver() { keep && git push -q origin HEAD:main; }
setup() {
    git init -q
    command git init -q --bare "$at/remote"
    command git -C "$at/remote" config core.fsync all
    git remote add origin "$at/remote"
}
case $row in
    new-notes)
        notes "$at/notes" 1000
        setup
        seconds keep
        ;;
    edited)
        notes "$at/notes" 10000
        setup
        deliver
        edit "$at/notes" 100
        before=$(bytes "$at/remote")
        seconds deliver
        echo " $(($(bytes "$at/remote") - before))"
        ;;
    clone)
        notes "$at/notes" 1000
        setup
        deliver
        # By the transport, as from another machine, not by links to the same files.
        seconds command git clone -q -b main --no-local "$at/remote" "$at/other"
        ;;
    images)
        images "$at/notes" 1000 400
        setup
        seconds keep
        ;;
    *) exit 3 ;;
esac
