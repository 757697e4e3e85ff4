# What the scripts here share: the samples, and taking the time. Sourced, not run.

# Makes notes of about 2.5 KB: notes FOLDER COUNT
notes() {
    mkdir -p "$1"
    awk -v folder="$1" -v count="$2" 'BEGIN {
        srand(1)
        words = split("the of and flour water salt oven to in is that leaf note image sync device garden river über straße", word, " ")
        for (number = 0; number < count; number++) {
            file = folder "/Note " number ".md"
            text = "# Note " number "\n\n"
            while (length(text) < 2500) {
                for (i = 0; i < 12; i++) text = text word[1 + int(rand() * words)] " "
                text = text ".\n"
            }
            printf "%s", text > file
            close(file)
        }
    }'
}

# Adds a sentence to the first notes: edit FOLDER COUNT
edit() {
    local number
    for ((number = 0; number < $2; number++)); do
        printf 'One more sentence %s.\n' "$RANDOM" >>"$1/Note $number.md"
    done
}

# Makes images of 100 KB, of which only some differ, and a note that shows them: images FOLDER COUNT DISTINCT
images() {
    mkdir -p "$1"
    local number
    for ((number = 0; number < $2; number++)); do
        if ((number < $3)); then
            { printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\x06\0\0\0'; head -c 102400 /dev/urandom; } >"$1/image $number.png"
        else
            cp "$1/image $((number % $3)).png" "$1/image $number.png"
        fi
        printf '![](<image %s.png>)\n' "$number" >>"$1/Images.md"
    done
}

# Runs a command and prints the seconds that it took.
seconds() {
    local started=$EPOCHREALTIME
    "$@" >/dev/null 2>&1 || { echo "failed: $*" >&2; return 1; }
    awk -v from="$started" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f", to - from }'
}

# The bytes of the files in a folder.
bytes() {
    find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%d", sum }'
}

# Asks for a tool; installs it where a package manager may.
need() {
    command -v "$1" >/dev/null && return
    if [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
        apt-get install -qq -y --no-install-recommends "$1" >/dev/null 2>&1
    fi
    command -v "$1" >/dev/null
}

# Prints the folder in which npm's packages of a peer are; installs them the first time: packages PEER NAME...
packages() {
    local folder="${PEERS:-${CARGO_TARGET_DIR:-$(dirname "${BASH_SOURCE[0]}")/../../target}/bench/peers}/$1"
    need npm || return
    if [[ ! -f "$folder/installed" ]]; then
        mkdir -p "$folder"
        (cd "$folder" && npm init -y && npm install --no-audit --no-fund "${@:2}") >"$folder.log" 2>&1 || return
        touch "$folder/installed"
    fi
    (cd "$folder" && pwd)
}
