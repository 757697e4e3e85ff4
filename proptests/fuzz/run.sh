#!/usr/bin/env bash
# Fuzzes: `proptests/fuzz/run.sh [SECONDS [TARGET...]]`; without them a minute of each target.
#
# Needs `cargo install cargo-fuzz --locked` and a C++ compiler. What is found is in `artifacts/`: give
# it a name that says what it is, put it into `fixtures/crashers/<target>/`, and mend what it broke;
# `cargo test crashers::` then tries it for ever.
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-60}"
targets=("${@:2}")
if [[ ${#targets[@]} -eq 0 ]]; then
    targets=(checkpoint event hub_request markdown note segment vault_json)
fi

# The library as it is built by everybody: no other code under `cfg(fuzzing)`. It has no unsafe code, so
# no sanitizer is needed; memory is measured by the targets themselves. Coverage takes flags that the
# stable compiler keeps from others.
fuzz() { RUSTC_BOOTSTRAP=1 cargo fuzz "$1" --fuzz-dir . --sanitizer none --no-cfg-fuzzing "${@:2}"; }

corpus="$PWD/corpus"
EVERLEAF_CORPUS="$corpus" cargo test --manifest-path ../../Cargo.toml crashers::every_seed_holds
for target in "${targets[@]}"; do
    # But for those that unfold to tens of megabytes: near them, nothing is quick.
    find ../../fixtures/crashers/"$target" -type f -not -name 'bomb-*' -exec cp -f {} "$corpus/$target/" \;
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1)
    [[ -f "$target.dict" ]] && options+=(-dict="$target.dict")
    fuzz run "$target" "corpus/$target" -- "${options[@]}"
done
