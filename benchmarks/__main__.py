"""`python -m benchmarks`: a migration beside what people use today and beside the least that is possible."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import memory, node_peers, parsing, race, table, through_airflow
from benchmarks.workload import WORKLOADS

_PARTS = ("race", "memory", "parsing", "airflow")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--contenders", nargs="+", help="parts of names; the floor and ours always run")
    parser.add_argument("--documents", type=int, help="of each workload of the race, instead of its own number")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": _machine()}
    print("Measured with Python {python}, {executable}, on {cores} cores.".format(**figures["machine"]))
    if "race" in options.parts:
        figures["race"] = _race(options)
    if "memory" in options.parts:
        figures["memory"] = memory.measure()
        memory.show(figures["memory"])
    if "parsing" in options.parts:
        figures["parsing"] = parsing.measure()
        parsing.show(figures["parsing"])
    if "airflow" in options.parts:
        taken = through_airflow.measure([1_000, 50_000], options.rounds)
        through_airflow.show(taken)
        figures["airflow"] = [one._asdict() for one in taken]
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _machine() -> dict[str, Any]:
    """What it is measured on: of one version of Python, one build may be a tenth faster than another."""
    executable = os.path.realpath(sys.executable)
    return {"python": sys.version, "executable": executable, "cores": os.cpu_count()}


def _race(options: argparse.Namespace) -> dict[str, Any]:
    wanted = options.contenders or [""]
    entered = [
        one
        for one in race.CONTENDERS
        if one.name.startswith(("floor", "ours")) or any(part in one.name for part in wanted)
    ]
    packages = node_peers.install() if any(one.needs_node for one in entered) else None
    entered = [one for one in entered if packages or not one.needs_node]
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
    return figures


if __name__ == "__main__":
    main()
