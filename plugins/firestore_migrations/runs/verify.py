"""verify: is the data what the migration promises?

The scope is read again at a new read time. What the step would still change is residue, such as documents that were
written in the old shape while the run was going on; it is planned and applied like the rest, and then there must be
none. The author's checks run on every document. And each document that was written is compared with what was
planned for it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from firestore_migrations.errors import VerifyFailed
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.runs import status
from firestore_migrations.runs.apply import Applier
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.look import Finding, Look
from firestore_migrations.runs.preflight import refuse_what_is_overtaken
from firestore_migrations.runs.run import Run

_PASSES = 5
_MOST_LISTED = 1000


def verify(run: Run) -> dict[str, Any]:
    """Look until there is no residue, and record the run as verified or rolled back. Safe to run again.

    Returns:
        residue, residue_applied, held, changed_since, born_since, checks (failed ones) and reads.

    Raises:
        VerifyFailed: residue remains after several passes, or a check does not hold; the paths are in `verify.json`.
    """
    with Writer(run.target.address) as writer, Reader(run.target.address) as reader:
        audit = Audit(Ledger(writer))
        if run.is_down:
            finding = Look(run, audit, reader).at_what_was_restored()
        else:
            refuse_what_is_overtaken(run, audit)
            data = audit.run(run) or {}
            if data.get("state") in status.WRITING:
                audit.record(run, "verify", "every batch is committed", status.APPLIED)
            finding = _until_no_residue(run, audit, writer, reader)
        run.folder.write_json("verify.json", {**asdict(finding), "failed_checks": finding.failed_checks[:_MOST_LISTED]})
        _refuse_failed_checks(run, finding)
        state = status.ROLLED_BACK if run.is_down else status.VERIFIED
        audit.record(run, "verify", f"residue 0, {finding.held} documents hold what was planned", state, error=None)
    result = asdict(finding)
    result["checks"] = len(result.pop("failed_checks"))
    return result


def look_again(run: Run) -> Finding:
    """Look once at a version that is applied, and write nothing: neither to Firestore nor to the storage.

    Args:
        run: the one that applied it, with the percentage that the version is rolled out to.

    Raises:
        VerifyFailed: a document cannot be looked at.
    """
    with Reader(run.target.address) as reader:
        return Look(run, Audit(Ledger(reader)), reader, keeps=False).at_the_scope()


def _until_no_residue(run: Run, audit: Audit, writer: Writer, reader: Reader) -> Finding:
    applied_residue = reads = 0
    for _ in range(_PASSES):
        look = Look(run, audit, reader)
        finding = look.at_the_scope()
        reads += finding.reads
        finding.residue_applied, finding.reads = applied_residue, reads
        if not finding.residue:
            return finding
        audit.record(run, "verify", f"{finding.residue} documents were written in the old shape; they are migrated now")
        applier = Applier(run, writer, reader)
        applier.begin()
        applier.send(look.residue_part())
        applied_residue += finding.residue
    raise VerifyFailed(
        f"{finding.residue} documents of {run.version} are still in the old shape after {_PASSES} passes.",
        "Something keeps writing them: deploy the code that writes the new shape, then clear `verify`.",
        residue=finding.residue,
    )


def _refuse_failed_checks(run: Run, finding: Finding) -> None:
    if not finding.failed_checks:
        return
    first = "; ".join(f"{f.path or 'script'}: {f.step} ({f.error})" for f in finding.failed_checks[:3])
    raise VerifyFailed(
        f"{len(finding.failed_checks)} checks of {run.version} do not hold: {first}.",
        f"All are in {run.folder}/verify.json. Mend the data or the check and clear `verify`, "
        f"or take it back with `firestore-migrations rollback {run.version}`.",
        failed=len(finding.failed_checks),
    )
