# What Garage needs, of one node or of three.

GARAGE="${GARAGE:-garage}"

install() {
    apt_install rclone -- rclone
    command -v "$GARAGE" >/dev/null ||
        left_out "there is no garage, which takes half an hour to build: cargo install --locked garage --version 2.5.0"
}

version() { "$GARAGE" --version | awk '{ sub(/^[^0-9]*/, "", $2); print "Garage", $2 }'; }

# configure NODE S3_PORT RPC_PORT ADMIN_PORT COPIES
configure() {
    local d="$HOME_OF_STORE/data"
    mkdir -p "$d/$1"
    cat >"$d/$1.toml" <<CONF
metadata_dir = "$d/$1/meta"
data_dir = "$d/$1/data"
db_engine = "lmdb"
replication_factor = $5
consistency_mode = "consistent"
rpc_bind_addr = "127.0.0.1:$3"
rpc_public_addr = "127.0.0.1:$3"
rpc_secret = "1799bccfd7411eddcf9ebd316bc1f5287ad12a68094e1c6ac6abde7e6feae1ec"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:$2"
root_domain = ".s3.garage.localhost"
[admin]
api_bind_addr = "127.0.0.1:$4"
CONF
}

# ask NODE COMMAND...
ask() {
    local n="$1"
    shift
    "$GARAGE" -c "$HOME_OF_STORE/data/$n.toml" "$@"
}

has_bucket() { ask 0 bucket info "$BUCKET" >/dev/null 2>&1; }
