# Three nodes of SeaweedFS on loopback, each with master, volume server, filer and S3 gateway. They end with the standard input.
# usage: bash seaweed.sh WEED DIRECTORY PORT...    eight ports for each node
weed=$1 directory=$2
shift 2
ports=("$@") processes=()
cd "$directory" || exit 1

finish() {
  kill -9 "${processes[@]}"
  wait
  for port in "${ports[@]}"; do rm -f /tmp/seaweedfs-*-"$port.sock"; done
  cd / && rm -rf "$directory"
}
trap 'finish; exit' HUP INT TERM

# start NODE NAME ARGUMENT...
start() {
  (cd "n$1" && exec "$weed" -logdir=. "${@:3}" >"$2.out" 2>&1 </dev/null) &
  processes+=($!)
}

peers=127.0.0.1:$1.$2,127.0.0.1:$9.${10},127.0.0.1:${17}.${18}
for node in 1 2 3; do
  mkdir -p n$node/m n$node/v n$node/f
  own=("${ports[@]:(node - 1) * 8:8}")
  start $node server server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=v -rack=r$node -dataCenter=dc \
    -master.dir=m -master.port="${own[0]}" -master.port.grpc="${own[1]}" -master.peers="$peers" -master.defaultReplication=010 \
    -master.volumeSizeLimitMB=64 -master.telemetry=false -master.electionTimeout=1s \
    -volume.port="${own[2]}" -volume.port.grpc="${own[3]}" -volume.max=400 -volume.preStopSeconds=0
done

# A filer copies what another one has when it starts. It ends if the masters know that one already and it does not listen yet: so
# each waits for the one before.
for node in 1 2 3; do
  own=("${ports[@]:(node - 1) * 8:8}")
  start $node filer filer -ip=127.0.0.1 -ip.bind=127.0.0.1 -master="$peers" -rack=r$node -dataCenter=dc -defaultStoreDir=f \
    -port="${own[4]}" -port.grpc="${own[5]}" -localSocket="$PWD/n$node/filer.sock"
  until (: <>"/dev/tcp/127.0.0.1/${own[5]}") 2>/dev/null; do
    # The standard input may end before the filer listens.
    read -r -t 0.1
    [ $? -gt 128 ] || { finish; exit; }
  done
  start $node gateway s3 -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer="127.0.0.1:${own[4]}.${own[5]}" -port="${own[6]}" -port.grpc="${own[7]}" \
    -config=../s3.json -port.iceberg=0 -port.lance=0 -localSocket="$PWD/n$node/s3.sock"
done
cat >/dev/null
finish
