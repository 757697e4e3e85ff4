#!/usr/bin/env bash
# Ceph's S3 gateway from Debian's packages: a monitor, a manager, one store of objects in memory, and
# the gateway. It checks signatures strictly, and clocks too.
. "$(dirname "$0")/common.sh"

install() {
    apt_install ceph-mon ceph-mgr ceph-osd radosgw radosgw-admin ceph monmaptool rclone -- \
        ceph-mon ceph-mgr ceph-osd radosgw ceph-common rclone
}

version() { ceph --version | awk '{ print "Ceph RGW", $3 }'; }

configure() {
    local d="$HOME_OF_STORE"
    cat >"$d/data/ceph.conf" <<CONF
[global]
fsid = $FSID
mon host = [v2:127.0.0.1:$MON]
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
run dir = $d/run
admin socket = $d/run/\$name.asok
pid file = $d/run/\$name.pid
log file = $d/log/\$name.log
mon data = $d/data/mon.\$id
mgr data = $d/data/mgr.\$id
osd data = $d/data/osd.\$id
osd objectstore = memstore
memstore device bytes = 4294967296
osd memory target = 939524096
mgr initial modules =
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$PORT
rgw thread pool size = 64
rgw enable usage log = false
CONF
}

is_up() { timeout 10 ceph osd stat 2>/dev/null | grep -q '1 up'; }

start() {
    fresh
    # Paths of sockets have at most 107 bytes.
    [[ ${#HOME_OF_STORE} -lt 80 ]] || left_out "the path of $HOME_OF_STORE is too long for Ceph's sockets"
    local d="$HOME_OF_STORE" user=(--setuser "$(id -un)" --setgroup "$(id -gn)")
    MON="$(free_port)" PORT="$(free_port)" FSID="$(cat /proc/sys/kernel/random/uuid)"
    mkdir "$d"/data/{mon.a,mgr.x,osd.0}
    configure
    export CEPH_CONF="$d/data/ceph.conf"
    {
        monmaptool --create --clobber --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON]" "$d/data/monmap"
        ceph-mon -i a --mkfs --monmap "$d/data/monmap" "${user[@]}"
        ceph-mon -i a "${user[@]}"
        local osd
        osd="$(cat /proc/sys/kernel/random/uuid)"
        timeout 60 ceph osd new "$osd" 0
        ceph-osd -i 0 --mkfs --osd-uuid "$osd" "${user[@]}"
        ceph-osd -i 0 "${user[@]}"
        ceph-mgr -i x "${user[@]}"
        until_true 60 is_up
        radosgw -n client.rgw.a "${user[@]}"
        until_true 120 listens "$PORT"
        radosgw-admin user create --uid test --display-name test --access-key "$KEY" --secret-key "$SECRET"
        make_bucket "http://127.0.0.1:$PORT"
    } >"$d/log/start.log" 2>&1 </dev/null || { tail -3 "$d/log/start.log" >&2; return 1; }
    tell "http://127.0.0.1:$PORT"
}

command_line "$@"
