"""Rehearse: every pending version up and down again on a copy of the data, and a verdict for each.

    refresh    the copy holds what its source holds; the course is fixed: which versions, in which order
    before     a fingerprint of the copy
    up, down   each version's own run; the later ones are not begun once one has failed, and all is taken back
    compare    the fingerprint again
    report     the verdict on each version, by the audit of the copy alone

What one step found is in the rehearsal's folder, not in a process: each can be repeated, anywhere, at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import ConfigurationError, Refused, UnknownVersion
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.fingerprint import Fingerprint, take_fingerprint
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import DOWN, UP
from firestore_migrations.runs.refresh import refresh
from firestore_migrations.runs.rehearsal import FAILED, NOT_REHEARSED, PASSED, Rehearsal, record
from firestore_migrations.runs.run import Target
from firestore_migrations.runs.storage import Folder

Perform = Callable[[str, str, Callable[[str], None]], object]
_LAST = "last.json"
"""Which rehearsal has made the copy anew last."""
_ENDED = "ended.json"
"""When all was taken back and compared: from then on a rehearsal grows old."""
_ENDS = {UP: status.VERIFIED, DOWN: status.ROLLED_BACK}


@dataclass(frozen=True)
class Course:
    """What `refresh` fixed for the whole rehearsal.

    Attributes:
        started_at: in ISO 8601.
        versions: those to rehearse, in order, each with its checksum.
    """

    started_at: str
    versions: Mapping[str, str]


class Rehearsing:
    """One rehearsal at work.

    Args:
        id: the DAG run's.
        source: only read, ever.
        target: the rehearsal database, overwritten by `refresh`.
        results: where the verdicts are kept, by checksum.
    """

    def __init__(self, id: str, source: Target, target: Target, results: Folder) -> None:  # noqa: A002 -- the word
        self.id = id
        self.source = source
        self.target = target
        self.results = results
        self._copies = target.folder / "rehearsals"
        self.folder = self._copies / id

    @property
    def found(self) -> Folder:
        """Where the findings of the present attempt are: once a copy is made anew, what was found before is void."""
        return self.folder / str(self._attempt())

    def refresh(self, migrations: Sequence[Migration], versions: Iterable[str] = ()) -> dict[str, Any]:
        """Overwrite the rehearsal database, and fix which versions are rehearsed.

        Args:
            migrations: of the folder, in order.
            versions: those to rehearse, each behind the pending ones before it; none for every pending one.

        Raises:
            Refused: the target is nobody's copy, or a version is done already in the source.
        """
        self.folder.write_json("attempt.json", {"attempt": self._attempt() + 1})
        started = datetime.now(timezone.utc).isoformat()
        self._copies.write_json(_LAST, {"rehearsal": self.id})
        refreshed = refresh(self.source, self.target, f"rehearsal/{self.id}")
        states = {name: data["state"] for name, data in self._versions().items()}
        pending = {
            found.version: found.checksum for found in migrations if states.get(found.version) not in status.DONE
        }
        wanted = tuple(versions)
        self._refuse_unknown(wanted, [found.version for found in migrations], pending)
        last = max((int(name[1:]) for name in wanted), default=0)
        chosen = {name: checksum for name, checksum in pending.items() if not wanted or int(name[1:]) <= last}
        self.found.write_json("course.json", asdict(Course(started, chosen)))
        return {**asdict(refreshed), "versions": list(chosen)}

    def before(self) -> dict[str, Any]:
        """Take the fingerprint of the copy as it is before anything was done to it.

        Raises:
            Refused: something was done to it already.
        """
        course = self.course()
        begun = [version for version in (() if course is None else course.versions) if self.run_of(version, UP)]
        if begun:
            raise Refused(f"{begun[0]} has run on {self.target.name} already.", "Clear `refresh`, for a new copy.")
        return self._fingerprint("before")

    def reason_to_skip(self, version: str, direction: str) -> str:
        """Why this run is not to be begun; empty where it is."""
        course = self.course()
        if course is None or not self.found.has("before.json"):
            return "the copy of the data was not made"
        if version not in course.versions:
            return f"{version} is done in {self.source.name}, or was not asked for"
        left = self._versions().get(version, {}).get("state", status.PENDING)
        if direction == DOWN:
            found = self.run_of(version, UP)
            return "" if found and left in status.TOUCHED else f"{version} has left nothing to take back"
        if left in status.DONE and self.is_good(version, UP):
            return f"{version} is up already"
        failed = self.first_failed(before=version)
        return f"not_rehearsed because {failed} failed" if failed else ""

    def first_failed(self, before: str = "") -> str:
        """The first version whose run up did not end as verified, among those before another one; empty for none."""
        course = self.course()
        for version in () if course is None else course.versions:
            if version == before:
                break
            if not self.is_good(version, UP):
                return version
        return ""

    def name_of(self, version: str, direction: str) -> str:
        """How the ids of the version's runs in this rehearsal begin, the same wherever it is asked."""
        return f"rehearsal__{self.id}__{self._attempt()}_{version}_{direction}"

    def begin(self, version: str, direction: str, run_id: str) -> None:
        """Note which run of the version is this rehearsal's; safe to repeat."""
        self.found.write_json(f"{version}_{direction}.json", {"run": run_id})

    def run_of(self, version: str, direction: str) -> dict[str, Any]:
        """What the audit says of the version's run in this rehearsal; empty where there was none."""
        name = f"{version}_{direction}.json"
        if not self.found.has(name):
            return {}
        run_id = self.found.read_json(name)["run"]
        with Reader(self.target.address) as reader:
            (entry,), _ = Ledger(reader).get(RunName(version, run_id).path)
        nothing = {"state": status.PENDING, "error": "it did not begin; its task `preflight` says why"}
        return {"run": run_id, **(nothing if entry is None else entry.data)}

    def is_good(self, version: str, direction: str) -> bool:
        """Whether the version's run ended as it should, by the audit."""
        found = self.run_of(version, direction)
        return bool(found) and found["state"] == _ENDS[direction] and not found["error"]

    def refuse_bad_end(self, version: str, direction: str) -> dict[str, Any]:
        """What a run came to.

        Raises:
            Refused: it did not end as it should; naming the version, and the reason that the audit gives.
        """
        found = self.run_of(version, direction)
        if not self.is_good(version, direction):
            raise Refused(
                f"{_fault(version, direction, found)}.",
                f"See `firestore-migrations history {version} --events --target {self.target.name}`.",
                version=version,
            )
        return _summary(found)

    def compare(self) -> dict[str, Any]:
        """Take the fingerprint again, when all was taken back, and compare; the result is kept for the report."""
        after = self._fingerprint("after")
        if not self.found.has(_ENDED):
            self.found.write_json(_ENDED, {"at": datetime.now(timezone.utc).isoformat()})
        return {**after, "differing": list(self._differing() or ())}

    def course(self) -> Course | None:
        """What `refresh` fixed, or None before."""
        return Course(**self.found.read_json("course.json")) if self.found.has("course.json") else None

    def report(self) -> list[Rehearsal]:
        """Judge every version, and keep the verdicts by checksum. Safe to run again: a rehearsal does not get younger.

        Raises:
            Refused: a later rehearsal has made the copy anew; the verdicts stay as they are.
            ConfigurationError: the copy was never made, so there is nothing to judge.
        """
        course = self.course()
        if course is None:
            raise ConfigurationError(
                f"{self.target.name} was not refreshed from {self.source.name}, so no version was rehearsed.",
                "The task `refresh` says why; correct that, and clear it.",
            )
        differing, first, stuck = self._differing(), self.first_failed(), self._first_stuck()
        self._refuse_overtaken()
        ended = self.found.read_json(_ENDED)["at"] if self.found.has(_ENDED) else None
        finished = ended or datetime.now(timezone.utc).isoformat()
        found = []
        for version, checksum in course.versions.items():
            up, down = self.run_of(version, UP), self.run_of(version, DOWN)
            verdict, reason = self._verdict(version, first, stuck, differing)
            counts = up.get("counts", {})
            rehearsal = Rehearsal(
                self.id,
                version,
                up.get("checksum", checksum),
                self.source.name,
                self.target.name,
                course.started_at,
                finished,
                verdict,
                reason,
                up=_summary(up),
                down=_summary(down),
                documents=sum(counts.get(name, 0) for name in ("created", "updated", "deleted")),
                failures=sum(counts.get(name, 0) for name in ("failed", "conflicts")),
                price=round(up.get("price", 0.0) + down.get("price", 0.0), 6),
                equal=None if differing is None else not differing,
                differing=differing or (),
                database=self.source.address.name,
                on_emulator=not self.source.address.has_admin,
            )
            record(self.results, rehearsal)
            found.append(rehearsal)
        return found

    def _verdict(
        self, version: str, first_failed: str, stuck: str, differing: tuple[str, ...] | None
    ) -> tuple[str, str]:
        """The verdict and its reason: the version's own fault first, then what can be nobody else's."""
        up = self.run_of(version, UP)
        if not up:
            failed = first_failed if first_failed != version else ""
            return NOT_REHEARSED, f"{failed} failed" if failed else "it was never begun"
        for direction in (UP, DOWN):
            if not self.is_good(version, direction):
                return FAILED, _fault(version, direction, self.run_of(version, direction))
        if stuck and differing:
            return FAILED, f"{stuck} was not taken back, so the data is not what it was before"
        if differing is None:
            return FAILED, "nobody could look whether the data is what it was before"
        if differing:
            return FAILED, f"taken back, the data is not what it was before, in {', '.join(differing)}"
        return PASSED, ""

    def _fingerprint(self, name: str) -> dict[str, Any]:
        if self.course() is None:
            raise ConfigurationError("The copy of the data was not made.", "Clear `refresh`.")
        self._refuse_overtaken()
        with Reader(self.target.address) as reader:
            found = take_fingerprint(reader)
        self.found.write_json(f"{name}.json", asdict(found))
        return {"documents": found.documents, "digest": found.digest}

    def _differing(self) -> tuple[str, ...] | None:
        if not (self.found.has("before.json") and self.found.has("after.json")):
            return None
        before, after = (Fingerprint.of(self.found.read_json(f"{name}.json")) for name in ("before", "after"))
        return before.differing(after)

    def _first_stuck(self) -> str:
        """The first version whose run up was begun and that was not taken back; empty for none."""
        course = self.course()
        begun = [version for version in (() if course is None else course.versions) if self.run_of(version, UP)]
        return next((version for version in begun if not self.is_good(version, DOWN)), "")

    def _refuse_overtaken(self) -> None:
        last = self._copies.read_json(_LAST)["rehearsal"] if self._copies.has(_LAST) else self.id
        if last != self.id:
            raise Refused(
                f"{self.target.name} was made anew by the rehearsal {last}; what {self.id} did on it is gone.",
                "Rehearse again: `firestore-migrations rehearse`. What was found before stays.",
            )

    def _attempt(self) -> int:
        return int(self.folder.read_json("attempt.json")["attempt"]) if self.folder.has("attempt.json") else 0

    def _versions(self) -> dict[str, dict[str, Any]]:
        with Reader(self.target.address) as reader:
            return Audit(Ledger(reader)).versions()

    def _refuse_unknown(self, wanted: Iterable[str], known: Sequence[str], pending: Mapping[str, str]) -> None:
        for version in wanted:
            if version not in known:
                raise UnknownVersion(f"There is no {version} to rehearse.", f"There are: {', '.join(known)}.")
            if version not in pending:
                raise Refused(
                    f"{version} is done in {self.source.name}: there is nothing to rehearse.",
                    "Name a pending version, or none for all of them.",
                    version=version,
                )


def rehearse(
    rehearsing: Rehearsing, migrations: Sequence[Migration], perform: Perform, versions: Iterable[str] = ()
) -> list[Rehearsal]:
    """Rehearse from beginning to end, one step after another. The source is only read.

    Args:
        rehearsing: the rehearsal.
        migrations: of the folder, in order.
        perform: runs a version up or down against the rehearsal database, to the end of its run; it is told the
            version, the direction, and a function that it calls with the run's id before it begins.
        versions: those to rehearse, each behind the pending ones before it; none for every pending one.

    Returns:
        The verdict on each version.
    """
    rehearsing.refresh(migrations, versions)
    rehearsing.before()
    order = [migration.version for migration in migrations]
    for version, direction in [*((name, UP) for name in order), *((name, DOWN) for name in reversed(order))]:
        if not rehearsing.reason_to_skip(version, direction):
            perform(version, direction, partial(rehearsing.begin, version, direction))
    rehearsing.compare()
    return rehearsing.report()


def _fault(version: str, direction: str, found: Mapping[str, Any]) -> str:
    """What went wrong with a run, in one sentence without its full stop."""
    what = version if direction == UP else f"the rollback of {version}"
    if not found:
        return f"{what} was not begun"
    error = str(found["error"] or "").rstrip(".")
    return f"{what} ended as {found['state']}" + (f": {error}" if error else "")


def _summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run's audit document, what is kept of it."""
    if "started_at" not in found:
        return {name: found[name] for name in ("run", "state") if name in found}
    finished = found["finished_at"]
    return {
        "run": found["run"],
        "state": found["state"],
        "seconds": None if finished is None else round((finished - found["started_at"]).total_seconds(), 3),
        "counts": found["counts"],
        "price": found["price"],
        "plan_digest": found["plan_digest"],
    }
