# What the stores' scripts share. Each of them knows `install`, `start` and `stop`, keeps all that it
# has under $STORES/NAME, and listens on 127.0.0.1 only.
#
#   $HOME_OF_STORE/env         after `start`: the variables that lead the tests to the store
#   $HOME_OF_STORE/run/*.pid   the processes that `stop` ends
#   exit code 75               the store can't be had here; what stands on standard error says why
set -euo pipefail

STORE="$(basename "$0" .sh)"
SCRIPTS="$(cd "$(dirname "$0")" && pwd)"
STORES="${STORES:-$SCRIPTS/../../target/stores}"
mkdir -p "$STORES"
STORES="$(cd "$STORES" && pwd)"
HOME_OF_STORE="$STORES/$STORE"

KEY=GK0123456789abcdef01234567
SECRET=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
BUCKET=notes

left_out() {
    echo "$*" >&2
    exit 75
}

# apt_install COMMAND... -- PACKAGE...: the packages, unless all commands are there.
apt_install() {
    local missing=()
    while [[ "$1" != -- ]]; do
        command -v "$1" >/dev/null || missing+=("$1")
        shift
    done
    shift
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || left_out "it lacks ${missing[*]}, and there is no apt-get"
    [[ "$(id -u)" = 0 ]] || left_out "it lacks ${missing[*]}, which only root can install: apt-get install $*"
    local log="$STORES/apt.log"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null || left_out "apt-get install $* failed: $(tail -1 "$log")"
}

# A port of 127.0.0.1 on which nobody listens.
free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        listens "$port" || { echo "$port"; return; }
    done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# until_true SECONDS COMMAND...: asks until it is so; gives up after so many seconds.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [[ $SECONDS -lt $end ]] || { echo "$STORE: gave up waiting for: $*" >&2; return 1; }
        sleep 0.1
    done
}

# daemon NAME COMMAND...: runs it in the background, with its log and its process id in files.
daemon() {
    local name="$1"
    shift
    mkdir -p "$HOME_OF_STORE/run" "$HOME_OF_STORE/log"
    nohup "$@" >>"$HOME_OF_STORE/log/$name.log" 2>&1 </dev/null &
    echo $! >"$HOME_OF_STORE/run/$name.pid"
}

# Ends what a file of a process id names, unless that process is gone and its number is another's now.
end() {
    local pid signal="${2:-TERM}"
    pid="$(cat "$1")"
    if grep -qs -- "$STORES" "/proc/$pid/cmdline" "/proc/$pid/environ"; then
        kill "-$signal" "$pid" 2>/dev/null || true
        if ! until_true 10 gone "$pid" 2>/dev/null; then
            kill -KILL "$pid" 2>/dev/null || true
            until_true 10 gone "$pid"
        fi
    fi
    rm -f "$1"
}

# Whether a process has ended; one that nobody has asked about since is as good as gone.
gone() { [[ ! -e "/proc/$1" ]] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

stop() {
    local file
    for file in "$HOME_OF_STORE"/run/*.pid; do
        [[ ! -e "$file" ]] || end "$file"
    done
}

# Nothing of an earlier run is left.
fresh() {
    stop
    rm -rf "${HOME_OF_STORE:?}"/{env,run,log,data}
    mkdir -p "$HOME_OF_STORE"/{run,log,data}
}

# tell ENDPOINT [NAME=VALUE...]: how the tests reach the store.
tell() {
    {
        echo "EVERLEAF_S3_ENDPOINT=$1"
        echo "EVERLEAF_S3_BUCKET=$BUCKET"
        echo "EVERLEAF_S3_KEY=$KEY"
        echo "EVERLEAF_S3_SECRET=$SECRET"
        shift
        printf '%s\n' "$@"
    } | sed '/^$/d' >"$HOME_OF_STORE/env"
}

# make_bucket ENDPOINT: by rclone, since everleaf never makes one.
make_bucket() {
    env -u AWS_CA_BUNDLE RCLONE_S3_PROVIDER=Other RCLONE_S3_ENDPOINT="$1" RCLONE_S3_REGION=us-east-1 \
        RCLONE_S3_ACCESS_KEY_ID="$KEY" RCLONE_S3_SECRET_ACCESS_KEY="$SECRET" \
        rclone --config /dev/null mkdir ":s3:$BUCKET"
}

# The last line of each script.
command_line() {
    local command="${1:-}"
    case "$command" in
        install | start | stop | version) "$command" ;;
        *) echo "usage: $0 install|start|stop|version" >&2; exit 2 ;;
    esac
}
