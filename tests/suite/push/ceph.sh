# Three nodes of Ceph on loopback, each with monitor, OSD and gateway, and one manager. They end with the standard input. A file
# `ready` says that they are; the process ids of node N are in `nN`.
# usage: bash ceph.sh DIRECTORY PORT...    three ports for each node: of its monitor, twice, and of its gateway
directory=$1
shift
ports=("$@") processes=()
cd "$directory" || exit 1

finish() {
  kill -9 "${processes[@]}" 2>/dev/null
  wait
  cd / && rm -rf "$directory"
}
trap 'finish; exit' HUP INT TERM

# start NODE NAME COMMAND...
start() {
  "${@:3}" -f -c ceph.conf >"$2.out" 2>&1 </dev/null &
  processes+=($!)
  echo $! >>"n$1"
}

# Waits until a command succeeds, unless the standard input ends before.
until_done() {
  until "$@" >/dev/null 2>&1; do
    read -r -t 0.5
    [ $? -gt 128 ] || { finish; exit; }
  done
}

says() { timeout 10 ceph -c ceph.conf $1 2>/dev/null | grep -q "$2"; }
answers() { curl -sf -o /dev/null "http://127.0.0.1:$1/"; }

monitor() { echo "[v2:127.0.0.1:${ports[$1 * 3]},v1:127.0.0.1:${ports[$1 * 3 + 1]}]"; }
cat >ceph.conf <<C
[global]
fsid = 11111111-2222-3333-4444-555555555555
mon initial members = a,b,c
mon host = $(monitor 0) $(monitor 1) $(monitor 2)
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = false
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
ms mon client mode = crc
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
osd pool default size = 3
osd pool default min size = 2
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 2
run dir = $PWD
admin socket = $PWD/\$name.asok
log file = $PWD/\$name.log
pid file = $PWD/\$name.pid
crash dir = $PWD/crash
keyring = /dev/null
log to stderr = false
err to stderr = false
mon cluster log file = $PWD/cluster.log
bluestore block size = 4294967296
bluestore cache autotune = false
bluestore cache size = 67108864
osd memory target = 939524096
osd heartbeat interval = 1
osd heartbeat grace = 6
mon osd min down reporters = 1
mon osd down out interval = 600
osd op num shards = 2
rgw enable usage log = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw run sync thread = false
rgw override bucket index max shards = 1
[mgr.x]
mgr data = $PWD/mgr.x
C
letters=(a b c)
for node in 0 1 2; do
  cat >>ceph.conf <<C
[mon.${letters[node]}]
mon data = $PWD/mon.${letters[node]}
[osd.$node]
osd data = $PWD/osd.$node
crush location = root=default host=node$node
[client.rgw.$node]
rgw frontends = beast endpoint=127.0.0.1:${ports[node * 3 + 2]}
rgw data = $PWD/rgw.$node
C
  mkdir -p "mon.${letters[node]}" "osd.$node" "rgw.$node"
done
mkdir -p mgr.x crash
monmaptool --create --clobber --fsid 11111111-2222-3333-4444-555555555555 --addv a "$(monitor 0)" --addv b "$(monitor 1)" \
  --addv c "$(monitor 2)" monmap >/dev/null
for node in 0 1 2; do
  ceph-mon --mkfs -i "${letters[node]}" --monmap monmap -c ceph.conf >/dev/null 2>&1
  start $node "mon.$node" ceph-mon -i "${letters[node]}"
done
until_done says "mon stat" "quorum 0,1,2"
start x mgr ceph-mgr -i x
for node in 0 1 2; do
  uuid=$(cat /proc/sys/kernel/random/uuid)
  ceph -c ceph.conf osd new "$uuid" >/dev/null 2>&1
  ceph-osd --mkfs -i $node --osd-uuid "$uuid" -c ceph.conf >/dev/null 2>&1
  start $node "osd.$node" ceph-osd -i $node
done
until_done says "osd stat" "3 up"
for node in 0 1 2; do
  start $node "rgw.$node" radosgw -n client.rgw.$node
  # The first one makes the pools.
  until_done answers "${ports[node * 3 + 2]}"
done
until_done radosgw-admin -c ceph.conf user create --uid test --display-name test --access-key osieraccess --secret-key osiersecret

# put PATH ARGUMENT...: signed as stores were asked for before there was anything better, which takes nothing but openssl.
put() {
  date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
  signature=$(printf 'PUT\n\n\n%s\n%s' "$date" "$1" | openssl dgst -sha1 -hmac osiersecret -binary | base64)
  curl -sf -X PUT -H "Date: $date" -H "Authorization: AWS osieraccess:$signature" -H Content-Type: "http://127.0.0.1:${ports[2]}$1" "${@:2}"
}
until_done put /published
until_done put "/published?policy" --data-binary '{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::published/*"}]}'
: >ready
cat >/dev/null
finish
