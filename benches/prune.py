#!/usr/bin/env python3
"""Times the second prune of a large repository with osier and with ostree, and how long a writer
waits while osier prunes.

    benches/prune.py --osier=target/release/osier [--objects=1000000] [--scratch=DIR]

The repository has ten commits of one ref, each with a tenth of the objects of its own; all files are
small. `osier prune --policy` runs once to make its cache, then both programs in turn, five times, with
nothing to remove. Last, a policy removes half of the repository while commits are made one after
another.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

COMMITS = 10


def run(*command):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def make(osier, repo, objects, scratch):
    run(osier, "init", f"--repo={repo}", "--mode=archive")
    # 100 files in a directory: with its dirtree, 101 objects.
    directories = max(1, objects // COMMITS // 101)
    for number in range(COMMITS):
        tree = os.path.join(scratch, "tree")
        for directory in range(directories):
            path = os.path.join(tree, f"{directory // 100}", f"{directory % 100}")
            os.makedirs(path)
            for file in range(100):
                with open(os.path.join(path, str(file)), "w") as out:
                    out.write(f"{number} {directory} {file}\n")
        run(osier, "commit", f"--repo={repo}", "-b", "main", f"--timestamp=@{number + 1}00000000",
            "--no-xattrs", "--fsync=false", "--consume", tree)
        shutil.rmtree(tree, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--osier", required=True)
    parser.add_argument("--ostree", default="ostree")
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--scratch")
    arguments = parser.parse_args()
    osier = os.path.abspath(arguments.osier)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        repo = os.path.join(scratch, "repo")
        make(osier, repo, arguments.objects, scratch)
        policies = {}
        for keep in (COMMITS, COMMITS // 2):
            policies[keep] = os.path.join(scratch, f"policy-{keep}")
            with open(policies[keep], "w") as out:
                out.write(f'[refs "*"]\nkeep={keep}\n[unreferenced]\nkeep-younger-than=0\n')
        ours = lambda keep: run(osier, "prune", f"--repo={repo}", f"--policy={policies[keep]}")
        print(f"first prune, osier: {ours(COMMITS):.3f} s")
        times = {"osier": [], "ostree": []}
        for _ in range(5):
            times["osier"].append(ours(COMMITS))
            times["ostree"].append(run(arguments.ostree, "prune", f"--repo={repo}", "--refs-only"))
        medians = {name: statistics.median(each) for name, each in times.items()}
        for name, median in medians.items():
            print(f"second prune, {name}: {median:.3f} s")
        print(f"ratio: {medians['ostree'] / medians['osier']:.1f}")

        tree = os.path.join(scratch, "small")
        os.makedirs(tree)
        commits, over = [], threading.Event()

        def commit():
            number = 0
            while not over.is_set():
                number += 1
                with open(os.path.join(tree, "file"), "w") as out:
                    out.write(str(number))
                commits.append(run(osier, "commit", f"--repo={repo}", "-b", "other", "--no-xattrs", tree))

        alone = run(osier, "commit", f"--repo={repo}", "-b", "other", "--no-xattrs", tree)
        writer = threading.Thread(target=commit)
        writer.start()
        half = ours(COMMITS // 2)
        over.set()
        writer.join()
        print(f"prune of one half: {half:.3f} s; meanwhile {len(commits)} commits, "
              f"the longest took {max(commits):.3f} s (one alone: {alone:.3f} s)")


if __name__ == "__main__":
    main()
