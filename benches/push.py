#!/usr/bin/env python3
"""Measures pushes into an object store beside `aws s3 sync` and `rclone copy` of the same tree.

    benches/push.py OSIER WEED [--aws=PROGRAM] [--rclone=PROGRAM] [--files=20000] [--more=100000] [--delay=0.05] [--under=COMMAND]

OSIER is a release with the feature s3, WEED the program of SeaweedFS. Three nodes of it run on loopback with everything in
/dev/shm, each object on two of them; each program writes into a bucket of its own. Then --more objects are pushed, and the same
with one more file, through a proxy that counts requests; at last --files small objects through a proxy that adds --delay seconds
each way. Each measured command is run under COMMAND, if one is given. Needs bash and nothing but Python's own modules.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

KEYS = {"AWS_ACCESS_KEY_ID": "osieraccess", "AWS_SECRET_ACCESS_KEY": "osiersecret", "AWS_REGION": "us-east-1"}
IDENTITIES = {"identities": [{"name": "test", "credentials": [{"accessKey": "osieraccess", "secretKey": "osiersecret"}],
                              "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
                             {"name": "anonymous", "actions": ["Admin", "Read", "Write", "List"]}]}
IN_FLIGHT = "64"


def measure(report, command):
    """Runs a command and writes its seconds, those of processors, and its peak memory."""
    started = time.monotonic()
    status = subprocess.call(command, stdout=subprocess.DEVNULL)
    took = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(report, "w") as file:
        json.dump([took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, status], file)


class Store:
    """Three nodes."""

    def __init__(self, weed, directory):
        os.mkdir(directory)
        with open(f"{directory}/s3.json", "w") as file:
            json.dump(IDENTITIES, file)
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(24)]
        ports = [str(each.getsockname()[1]) for each in sockets]
        for each in sockets:
            each.close()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/suite/push/seaweed.sh")
        self.shell = subprocess.Popen(["bash", script, weed, directory, *ports], stdin=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
        self.port = int(ports[6])
        self.url = f"http://127.0.0.1:{self.port}"
        for node in range(3):
            while not (self.put(int(ports[node * 8 + 6]), "/ready") and self.put(int(ports[node * 8 + 6]), "/ready/x")):
                time.sleep(0.2)

    def put(self, port, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("PUT", path, b"")
            return connection.getresponse().status in (200, 409)
        except OSError:
            return False

    def bucket(self, name):
        if not self.put(self.port, f"/{name}"):
            sys.exit(f"the bucket {name} cannot be made")

    def end(self):
        self.shell.stdin.close()
        self.shell.wait()


class Proxy:
    """Counts requests, and lets bytes arrive late."""

    def __init__(self, to, delay=0.0):
        self.to, self.delay, self.requests = to, delay, 0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self.run, args=(started,), daemon=True).start()
        started.wait()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=256))
        self.url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def serve(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(self.pump(reader, back, True), self.pump(there, writer, False))

    async def pump(self, reader, writer, counts):
        queue = asyncio.Queue(64)

        async def late():
            while (item := await queue.get()) is not None:
                await asyncio.sleep(max(0, item[0] - self.loop.time()))
                writer.write(item[1])
                await writer.drain()
            writer.close()

        task = self.loop.create_task(late())
        try:
            while data := await reader.read(1 << 18):
                self.requests += data.count(b" HTTP/1.1\r\n") if counts else 0
                await queue.put((self.loop.time() + self.delay, data))
        finally:
            await queue.put(None)
        await task


class Bench:
    def __init__(self, arguments, directory):
        self.arguments, self.directory = arguments, directory
        self.environment = {**os.environ, **KEYS, "HOME": directory, "AWS_CONFIG_FILE": f"{directory}/aws",
                            "AWS_EC2_METADATA_DISABLED": "true"}
        # rclone cannot do with it.
        self.environment.pop("AWS_CA_BUNDLE", None)
        with open(f"{directory}/aws", "w") as file:
            file.write(f"[default]\ns3 =\n  max_concurrent_requests = {IN_FLIGHT}\n  max_queue_size = 10000\n")

    def osier(self, *call):
        subprocess.run([self.arguments.osier, *call], check=True, stdout=subprocess.DEVNULL, env=self.environment)

    def commit(self, repo, number, first=0):
        """Commits small files of random bytes that deflate to no less."""
        tree, dice = f"{self.directory}/tree-{repo}", random.Random(number)
        for name in range(first, number):
            os.makedirs(f"{tree}/{name // 250:03}", exist_ok=True)
            with open(f"{tree}/{name // 250:03}/{name}", "wb") as file:
                file.write(dice.randbytes(dice.randrange(200, 4000)))
        repo = f"{self.directory}/{repo}"
        if not os.path.exists(repo):
            self.osier("init", f"--repo={repo}", "--mode=archive")
        self.osier("commit", f"--repo={repo}", "-b", "main", "--canonical-permissions", "--no-xattrs", tree)

    def run(self, name, *command):
        report = f"{self.directory}/report"
        under = [self.arguments.under] if self.arguments.under else []
        subprocess.run([*under, sys.executable, __file__, "--measure", report, *command], check=True, env=self.environment)
        with open(report) as file:
            took, processor, memory, status = json.load(file)
        print(f"{name:44}{took:8.2f} s{processor:8.2f} s{memory:8.0f} MB" + (f"   failed: {status}" if status else ""),
              flush=True)
        return took

    def push(self, name, repo, bucket, endpoint):
        return self.run(name, self.arguments.osier, "push", f"--repo={self.directory}/{repo}", f"--endpoint={endpoint}",
                        f"s3://{bucket}/os")

    def all(self, store):
        arguments, files, more = self.arguments, self.arguments.files, self.arguments.more
        self.commit("small", files)
        objects = sum(len(files) for _, _, files in os.walk(f"{self.directory}/small/objects"))
        print(f"{objects} objects, {IN_FLIGHT} requests at a time\n{'':44}{'wall':>10}{'processor':>10}{'memory':>10}")
        for name in ("warm", "osier", "aws", "rclone", "more", "late"):
            store.bucket(name)
        # What comes first to a store that has just started waits for it.
        self.commit("first", files // 4)
        self.push(f"osier push, {files // 4} files, not counted", "first", "warm", store.url)
        own = self.push(f"osier push, {files} files", "small", "osier", store.url)
        tree = f"{self.directory}/small"
        others = []
        if arguments.rclone:
            target = f":s3,provider=Other,env_auth=true,endpoint='{store.url}':rclone/os"
            others.append(self.run("rclone copy", arguments.rclone, "copy", f"--transfers={IN_FLIGHT}", f"--checkers={IN_FLIGHT}",
                                   "--s3-no-check-bucket", "--log-level=ERROR", tree, target))
        if arguments.aws:
            others.append(self.run("aws s3 sync", arguments.aws, "s3", "sync", "--only-show-errors",
                                   f"--endpoint-url={store.url}", tree, "s3://aws/os"))
        for other in others:
            print(f"{other / own:.1f} times faster")
        self.push("osier push again, nothing new", "small", "osier", store.url)
        if more:
            self.commit("large", more)
            self.push(f"osier push, {more} files", "large", "more", store.url)
            self.commit("large", more + 1, more)
            proxy = Proxy(store.port)
            self.push("osier push, one changed file", "large", "more", proxy.url)
            print(f"{proxy.requests} requests")
        if arguments.delay:
            proxy = Proxy(store.port, arguments.delay)
            round_trip = 2 * arguments.delay
            took = self.push(f"osier push, {files} files, {round_trip * 1000:.0f} ms away", "small", "late", proxy.url)
            least = objects / int(IN_FLIGHT) * round_trip
            print(f"{proxy.requests} requests; {IN_FLIGHT} at a time take {least:.1f} s at least, {took / least:.2f} times that")


def main():
    if sys.argv[1:2] == ["--measure"]:
        return measure(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("osier", "weed"):
        parser.add_argument(name, type=os.path.abspath)
    for name in ("--aws", "--rclone", "--under"):
        parser.add_argument(name)
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--more", type=int, default=100000)
    parser.add_argument("--delay", type=float, default=0.05)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="osier-bench-push-", dir="/dev/shm")
    try:
        store = Store(arguments.weed, f"{directory}/store")
        try:
            Bench(arguments, directory).all(store)
        finally:
            store.end()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
