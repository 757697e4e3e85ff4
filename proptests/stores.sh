#!/usr/bin/env bash
# Runs the tests that a store of others can fail on such stores: starts each on loopback, runs them
# under prefixes of their own, and takes it down. A table of what came of it ends the run.
#
#   proptests/stores.sh [--keep] [STORE]...
#
# STORE is ceph, r2 (Cloudflare's simulator), moto, garage or garage3 (three nodes); all by default.
# What is needed is installed: by apt-get where this runs as root, by npm and pip under target/stores.
# A store that can't be had is left out, and said.
#
#   --keep                      leaves the stores up, and prints the variables that name them
#   EVERLEAF_STORES_REQUIRED    the stores that must not be left out, as "ceph r2"
#   EVERLEAF_STORES_TEST        how to run tests; default: cargo test --locked --release, as README.md
#                               has it, so that nothing is built twice
#   GARAGE                      the path of garage
set -euo pipefail
cd "$(dirname "$0")/.."

ALL=(ceph r2 moto garage garage3)
KEEP=
STORES="$PWD/target/stores"
RESULTS="$STORES/results.tsv"
read -ra TEST <<<"${EVERLEAF_STORES_TEST:-cargo test --locked --release}"

# A suite: its name, and the tests that it is.
SUITES=(
    "contract stores::contract"
    "refusals stores::refusals"
    "scenarios scenarios::"
    "vaults vaults::every_vault_reaches_other_devices"
    "rclone stores::stranger"
    "nodes stores::nodes"
)

usage() {
    sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "$0"
}

chosen=()
for argument in "$@"; do
    case "$argument" in
        --keep) KEEP=1 ;;
        -h | --help) usage; exit ;;
        *)
            [[ " ${ALL[*]} " = *" $argument "* ]] || { usage >&2; exit 2; }
            chosen+=("$argument")
            ;;
    esac
done
[[ ${#chosen[@]} -gt 0 ]] || chosen=("${ALL[@]}")

mkdir -p "$STORES"
export STORES
: >"$RESULTS"
failed=
# The group of processes of the suite that runs.
running=

script() { "proptests/stores/$1.sh" "${@:2}"; }

take_down() {
    [[ -z "$running" ]] || kill -TERM -- "-$running" 2>/dev/null || true
    [[ -z "$KEEP" ]] || return 0
    local store
    for store in "${chosen[@]}"; do
        script "$store" stop || true
    done
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# record STORE SUITE CELL
record() {
    printf '%s\t%s\t%s\n' "$@" >>"$RESULTS"
    printf '%-8s %-10s %s\n' "$@"
}

# missing STORE WHY: a store that is not there.
missing() {
    if [[ " ${EVERLEAF_STORES_REQUIRED:-} " = *" $1 "* ]]; then
        failed=1
        record "$1" - "FAILED: is required, but $2"
    else
        record "$1" - "left out: $2"
    fi
}

# A suite on a store: in the environment that leads to it, which nothing else has.
run_suite() {
    local store="$1" suite="$2" filter="$3" log="$STORES/$1/$2.log" began="$SECONDS" status=0
    # In the background and in a group of its own, so that a signal need not wait for it to end.
    (
        set -a
        # shellcheck disable=SC1090
        . "$STORES/$store/env"
        EVERLEAF_S3_RCLONE="$(command -v rclone || true)"
        exec setsid "${TEST[@]}" --test proptests "$filter" -- --show-output
    ) >"$log" 2>&1 </dev/null &
    running=$!
    wait "$running" || status=$?
    running=
    local passed broken left took=$((SECONDS - began))
    passed="$(sed -n 's/^test result: .* \([0-9]*\) passed; .*/\1/p' "$log")"
    broken="$(sed -n 's/^test result: .* \([0-9]*\) failed; .*/\1/p' "$log")"
    left="$(sed -n 's/^left out: //p' "$log" | sort -u | paste -sd ';')"
    if [[ "$status" != 0 || "${passed:-0}" = 0 ]]; then
        failed=1
        record "$store" "$suite" "FAILED: ${broken:-all} ($took s; $log)"
        sed -n '/^failures:$/,$p' "$log" | tail -60
    elif [[ -n "$left" && "$passed" = 1 ]]; then
        record "$store" "$suite" "left out: $left"
    else
        record "$store" "$suite" "$passed passed${left:+, but left out: $left} ($took s)"
    fi
}

run_store() {
    local store="$1" status=0 why="$STORES/$1.why" began="$SECONDS" suite filter line
    script "$store" install 2>"$why" || status=$?
    if [[ "$status" = 0 ]]; then script "$store" start 2>"$why" || status=$?; fi
    if [[ "$status" = 75 ]]; then missing "$store" "$(cat "$why")"; return; fi
    if [[ "$status" != 0 ]]; then
        failed=1
        record "$store" - "FAILED to start: $(paste -sd ' ' "$why")"
        return
    fi
    record "$store" version "$(script "$store" version)"
    record "$store" start "$((SECONDS - began)) s"
    for line in "${SUITES[@]}"; do
        read -r suite filter <<<"$line"
        [[ "$suite" != nodes || "$store" = garage3 ]] || continue
        run_suite "$store" "$suite" "$filter"
    done
    if [[ -n "$KEEP" ]]; then
        sed "s/^/    export /" "$STORES/$store/env"
    else
        script "$store" stop
    fi
}

# The cell of a store and a suite.
cell() { awk -F '\t' -v store="$1" -v suite="$2" '$1 == store && $2 == suite { print $3 }' "$RESULTS"; }

table() {
    local line store suite cells suites=()
    for line in "${SUITES[@]}"; do suites+=("${line%% *}"); done
    printf '\n| store | start |'
    printf ' %s |' "${suites[@]}"
    printf '\n|%s\n' "$(printf -- ' --- |%.0s' start store "${suites[@]}")"
    for store in "${chosen[@]}"; do
        cells="$(cell "$store" -)"
        if [[ -n "$cells" ]]; then
            printf '| %s | %s |\n' "$store" "$cells"
            continue
        fi
        printf '| %s | %s |' "$(cell "$store" version)" "$(cell "$store" start)"
        for suite in "${suites[@]}"; do
            cells="$(cell "$store" "$suite")"
            printf ' %s |' "${cells:-–}"
        done
        printf '\n'
    done
}

# What it takes to build the tests is no store's time.
"${TEST[@]}" --test proptests --no-run

for store in "${chosen[@]}"; do
    run_store "$store"
done
table
[[ -z "$failed" ]]
