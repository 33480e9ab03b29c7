"""The report: what a plan would do, for the person who decides. Markdown."""

from __future__ import annotations

from typing import Any

from firestore_migrations.runs.committed import Part
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.outside import described
from firestore_migrations.runs.plan import Plan, collections_of
from firestore_migrations.runs.price import in_dollars
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.sample import Sample, samples

_MOST_FAILURES = 100
_MARKUP = frozenset("|`*_[]<>&!#~\\")
_MARKUP_IN_CODE = frozenset("`|\n")


def report(run: Run, result: dict[str, Any], plans: list[Plan], parts: list[Part], failures: list[Failure]) -> str:
    """The report of a run's plan; samples follow the target's policy."""
    migration = run.migration
    what = "Take back" if run.is_down else "Apply"
    lines = [
        f"# {what} {migration.version} {migration.name}",
        "",
        migration.description,
        "",
        f"Target **{run.target.name}** ({run.target.environment}), database `{run.target.address.name}`.",
        f"Plan `{result['plan_digest'][:16]}`, checksum `{migration.checksum[:16]}`.",
        "",
        *([f"This run {result['remark']}.", ""] if "remark" in result else []),
        *_window(run, result),
        *_table(["scanned", "created", "updated", "deleted", "unchanged", "failed", "conflicts"], [result["counts"]]),
        "",
        *_collections(plans),
        "",
        _price(result),
        "",
        *_warnings(result["warnings"]),
    ]
    shown = samples(run.folder, parts, run.options.sample, run.target.samples)
    lines += [line for sample in shown for line in _sample(sample)]
    lines += _failures(failures)
    return "\n".join(lines) + "\n"


def _warnings(warnings: list[str]) -> list[str]:
    return ["## To know before", "", *(f"- {warning}" for warning in warnings), ""] if warnings else []


def _window(run: Run, result: dict[str, Any]) -> list[str]:
    if run.window is None:
        return []
    start, end = (time.isoformat(" ") for time in (run.window.start, run.window.end))
    outside = described(run, result["without_window_field"])
    return [f"Window from **{start}** up to but without **{end}**.", "", outside, ""]


def _price(result: dict[str, Any]) -> str:
    return (
        f"About {result['reads']} reads, {result['writes']} writes and {result['deletes']} deletes: "
        f"**{in_dollars(result['price'])}**, and about {result['seconds']} s of writing."
    )


def _collections(plans: list[Plan]) -> list[str]:
    none = {"created": 0, "updated": 0, "deleted": 0}
    rows = [{"collection": f"`{name}`", **none, **counts} for name, counts in collections_of(plans).items()]
    return _table(["collection", "created", "updated", "deleted"], rows) if rows else ["Nothing would change."]


def _sample(sample: Sample) -> list[str]:
    rows = [
        {"field": _code(found.field), "before": _cell(found.before), "after": _cell(found.after)}
        for found in sample.differences
    ]
    return [f"**{sample.operation}** {_code(sample.path)}", "", *_table(["field", "before", "after"], rows), ""]


def _failures(failures: list[Failure]) -> list[str]:
    if not failures:
        return []
    rows = [{"path": _code(f.path), "step": f.step, "reason": _cell(f.error)} for f in failures[:_MOST_FAILURES]]
    more = len(failures) - len(rows)
    table = _table(["path", "step", "reason"], rows)
    return ["## Failures and conflicts", "", *table, *([f"and {more} more"] if more else [])]


def _table(columns: list[str], rows: list[dict[str, Any]]) -> list[str]:
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return head + ["| " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows]


def _code(name: str) -> str:
    return _cell(name) if _MARKUP_IN_CODE & set(name) else f"`{name}`"


def _cell(text: str) -> str:
    """A value in a table: none of its characters is taken for Markdown or HTML."""
    escaped = "".join(f"&#{ord(sign)};" if sign in _MARKUP else sign for sign in text)
    return " ".join(escaped.split("\n"))
