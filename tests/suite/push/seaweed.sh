# Three nodes of SeaweedFS on loopback, each with master, volume server, filer and S3 gateway. They end with the standard input.
# usage: sh seaweed.sh WEED DIRECTORY PORT...    eight ports for each node
weed=$1 directory=$2
shift 2
cd "$directory" || exit 1
peers=127.0.0.1:$1.$2,127.0.0.1:$9.${10},127.0.0.1:${17}.${18}
for node in 1 2 3; do
  mkdir -p n$node/m n$node/v
  (
    cd n$node || exit 1
    exec "$weed" -logdir=. server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=v -rack=r$node -dataCenter=dc \
      -master.dir=m -master.port="$1" -master.port.grpc="$2" -master.peers="$peers" -master.defaultReplication=010 \
      -master.volumeSizeLimitMB=64 -master.telemetry=false -master.electionTimeout=2s \
      -volume.port="$3" -volume.port.grpc="$4" -volume.max=400 -volume.preStopSeconds=0 \
      -filer -filer.port="$5" -filer.port.grpc="$6" -filer.localSocket="$PWD/filer.sock" \
      -s3 -s3.port="$7" -s3.port.grpc="$8" -s3.config=../s3.json -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket="$PWD/s3.sock" \
      >out 2>&1 </dev/null
  ) &
  nodes="$nodes $!"
  shift 8
done
cat >/dev/null
kill -9 $nodes
wait
cd / && rm -rf "$directory"
