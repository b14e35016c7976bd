"""Compare firms by command: python -m tests.promises.rules --entries 100000 --seeds 20.

With --steps they live on, so many steps each, and after each what stands is held against a judgement of everything.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.conftest import memory_folder, new_database, prepare_cluster
from tests.promises.rules.histories import follow, some_causes
from tests.promises.rules.test_reference import compare
from tieline.runtime.database import Database


def main() -> int:
    """Judge as many firms as were asked for; stop at the first hour that differs, and tell it."""
    parser = argparse.ArgumentParser(prog="python -m tests.promises.rules")
    parser.add_argument("--entries", type=int, default=100_000, help="hours of each seed")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="steps that each firm lives on")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="tieline-rules-", dir=memory_folder()))
    home.chmod(0o755)
    prepared = prepare_cluster(home, major=18)
    try:
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            with new_database(prepared) as dsns:
                owner = Database(dsns.owner, pool_max=2, application_name="rules").open()
                worker = Database(dsns.worker, pool_max=2, application_name="rules").open()
                try:
                    if asked.steps:
                        causes = some_causes(seed, steps=asked.steps)
                        seen = follow(owner, worker, seed=seed, hours=asked.entries, causes=causes)
                    else:
                        seen = compare(owner, worker, seed=seed, entries=asked.entries)
                except AssertionError as error:
                    print(error)
                    return 1
                finally:
                    owner.close()
                    worker.close()
            told = ", ".join(f"{word} {count}" for word, count in sorted(seen.items()))
            print(f"seed {seed}: {asked.entries} hours agree; seen: {told}", flush=True)
    finally:
        prepared.cluster.stop()
        shutil.rmtree(prepared.cluster.socket_directory, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
