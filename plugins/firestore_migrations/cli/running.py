"""`dry-run`, `run` and `rollback`: the verbs that run the version's own DAG."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from firestore_migrations import configuration
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.cli import place
from firestore_migrations.cli.approving import Terminal
from firestore_migrations.cli.performing import DONE, FAILED, Answer, error_of
from firestore_migrations.cli.states import painted, seconds_of
from firestore_migrations.dag_run import log_file, run_in_process
from firestore_migrations.errors import ConfigurationError, Unavailable
from firestore_migrations.runs.words import counts_in_words

if TYPE_CHECKING:
    from rich.console import Console

    from firestore_migrations.runs.run import Target
    from firestore_migrations.runs.storage import Folder

_PROBE = "probe"
_SUCCESS = frozenset({"planned", "verified", "rolled_back"})
_TITLES = {"dry-run": "dry run", "run": "run", "rollback": "rollback", "redrive": "redrive"}


def dry_run(arguments: Namespace) -> Answer:
    """Plan a version; no document is written."""
    return _perform(arguments, "dry-run", {"mode": "dry_run"})


def run(arguments: Namespace) -> Answer:
    """Migrate."""
    return _perform(arguments, "run", {"mode": "apply", "direction": "up"})


def rollback(arguments: Namespace) -> Answer:
    """Take a version back."""
    return _perform(arguments, "rollback", {"mode": "apply", "direction": "down"})


def redrive(arguments: Namespace) -> Answer:
    """Migrate the documents that failed before, and them alone."""
    return _perform(arguments, "redrive", {"mode": "apply", "direction": "up", "redrive": True})


def params_of(texts: list[str], types: dict[str, Any]) -> dict[str, Any]:
    """The parameters that `--set` gives: JSON where it is that, text where the parameter wants text.

    Args:
        texts: like `batch_size=100`.
        types: the parameters' JSON schema types.

    Raises:
        ConfigurationError: one is not PARAM=VALUE, or one parameter is given twice.
    """
    params: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--set takes PARAM=VALUE, not {text!r}.", "Write it like --set batch_size=100.")
        if name in params:
            raise ConfigurationError(f"--set {name} is given twice.", "Say it once.", param=name)
        params[name] = value
        if types.get(name) != "string":
            try:
                params[name] = json.loads(value, parse_constant=_no_number)
            except ValueError:
                continue  # then it is text, and the parameter's own check says what it wants
    return params


def _refuse_unwritable(folder: Folder) -> None:
    """Write a file and remove it: a run would find out behind Airflow's retries.

    Raises:
        StorageError: nothing can be written there.
    """
    folder.write(_PROBE, b"")
    with suppress(OSError):  # some may write to a bucket and not delete; the file is empty
        (folder.root / _PROBE).unlink()


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON: {math.nan}")


def _perform(arguments: Namespace, verb: str, fixed: dict[str, Any]) -> Answer:
    from firestore_migrations.cli.progress import Display
    from firestore_migrations.params import make_params

    migration, _ = place.migration_of(arguments.version)
    name = place.target_name(arguments)
    target = place.target_of(name)
    given = params_of(arguments.params or [], {name: param.schema.get("type") for name, param in make_params().items()})
    _refuse_unwritable(target.folder)
    configuration.prices()  # a wrong one is said here, and not in the log of a task
    for param in given.keys() & {*fixed, "target"}:
        raise ConfigurationError(
            f"--set {param} contradicts the command.",
            "Use --target." if param == "target" else "Use the verb: dry-run, run, redrive or rollback.",
        )
    with Display(target, migration, verbose=arguments.verbose) as display:
        run_id = run_in_process(
            migration,
            {**given, **fixed, "target": name},
            verbose=arguments.verbose,
            started=display.begin,
            answerer=Terminal(display).ask,
        )
    return _report(target, migration, run_id, verb)


def _report(target: Target, migration: Migration, run_id: str, verb: str) -> Answer:
    """What the audit says of a run that has ended."""
    version = migration.version
    data = _audited(target, version, run_id)
    folder = target.folder / version / run_id
    review: dict[str, Any] = folder.read_json("review.json") if folder.has("review.json") else {}
    result: dict[str, Any] = {
        "version": version,
        "run": run_id,
        "state": data["state"],
        "counts": data["counts"],
        "plan_digest": data["plan_digest"],
        "snapshot_uri": data["snapshot_uri"],
        "plan_uri": data["plan_uri"],
        "report_uri": review.get("report_uri"),
        "price": data["price"],
        "seconds": seconds_of(data),
    }
    if verb == "dry-run" and review:
        result["estimate"] = {key: review[key] for key in ("reads", "writes", "deletes", "price", "seconds")}
    is_done = data["state"] in _SUCCESS and not data["error"]
    if not is_done:
        result["error"] = error_of(data["error"] or f"the run ended as {data['state']}")

    def show(console: Console) -> None:
        mark = "[green]✓[/]" if is_done else "[red]✗[/]"
        state = f"{_TITLES[verb]}: {painted(data['state'])} on [bold]{target.name}[/]"
        console.print(f"{mark} {version} {migration.name}, {state}", soft_wrap=True)
        for line in _lines(result, verb):
            console.print(f"  {line}", soft_wrap=True)
        if not is_done:
            console.print(
                f"\n  {result['error']['type'] or 'Error'}: {result['error']['message']}", markup=False, soft_wrap=True
            )
        console.print(f"\n  {_next(version, verb, is_done=is_done)}", soft_wrap=True)

    return Answer(result, show, DONE if is_done else FAILED)


def _audited(target: Target, version: str, run_id: str) -> dict[str, Any]:
    from firestore_migrations.firestore.connection import Reader
    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.ledger import Ledger

    with Reader(target.address) as reader:
        data = Audit(Ledger(reader)).runs(version).get(run_id)
    if data is None:
        raise Unavailable(
            f"Run {run_id} of {version} ended before it could begin in the audit of {target.name}.",
            f"Airflow's log says why: {log_file()}; or repeat it with --verbose.",
        )
    return data


def _lines(result: dict[str, Any], verb: str) -> list[str]:
    counts = result["counts"]
    lines = []
    if counts["scanned"]:
        changed = counts_in_words(
            {name: count for name, count in counts.items() if name not in {"scanned", "unchanged"}}
        )
        would = "would change" if verb == "dry-run" else "changed"
        lines.append(f"{would:13}{changed}; {counts['unchanged']:,} of {counts['scanned']:,} documents unchanged")
        took = "" if result["seconds"] is None else f" in {result['seconds']:.1f} s"
        lines.append(f"{'cost':13}{result['price']:.6f} USD{took}")
    if estimate := result.get("estimate"):
        operations = ", ".join(f"{estimate[name]:,} {name}" for name in ("reads", "writes", "deletes"))
        writing = estimate["seconds"] or "under 1"
        lines.append(f"{'a run':13}about {estimate['price']:.6f} USD ({operations}), {writing} s of writing")
    if result["plan_digest"]:
        lines.append(f"{'plan':13}{result['plan_digest'][:16]}")
    if result["report_uri"]:
        lines.append(f"{'report':13}{result['report_uri']}")
    return lines


def _next(version: str, verb: str, *, is_done: bool) -> str:
    if not is_done:
        return f"What happened: [bold]firestore-migrations history {version} --events[/]"
    if verb == "dry-run":
        return f"No document was written. Next: [bold]firestore-migrations run {version}[/]"
    if verb in ("run", "redrive"):
        return f"To take it back: [bold]firestore-migrations rollback {version}[/]"
    return f"To apply it again: [bold]firestore-migrations run {version}[/]"
