"""`python -m benchmarks`: a migration beside what people use today and beside the least that is possible."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks import node_peers, race, table
from benchmarks.workload import WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--contenders", nargs="+", help="parts of their names; all by default")
    parser.add_argument("--documents", type=int, help="of each workload, instead of its own number")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    packages = node_peers.install()
    entered = [
        one
        for one in race.contenders(packages)
        if not options.contenders or any(part in one.name for part in [*options.contenders, "floor", "ours"])
    ]
    figures = {}
    for name in options.workloads:
        workload = WORKLOADS[name].of(options.documents or WORKLOADS[name].documents)
        results = race.race(workload, entered, options.rounds, packages)
        table.show(workload.title, results)
        figures[name] = {
            "rows": [asdict(row) for row in table.rows(results)],
            "promises": [{**asdict(promise), "holds": promise.holds} for promise in table.promises(results)],
            "rounds": {one: asdict(result) for one, result in results.items()},
        }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
