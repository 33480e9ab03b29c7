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
from firestore_migrations.runs import redrive, status
from firestore_migrations.runs.apply import Applier
from firestore_migrations.runs.audit import NO_COUNTS, Audit
from firestore_migrations.runs.budget import VERIFIED, reads_of_verifying
from firestore_migrations.runs.control import refuse_to_write
from firestore_migrations.runs.finding import Finding
from firestore_migrations.runs.gates import refuse_what_is_overtaken
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.look import Look
from firestore_migrations.runs.overlap import refuse_overlap
from firestore_migrations.runs.run import Run

_PASSES = 5


def verify(run: Run) -> dict[str, Any]:
    """Look until there is no residue, and record the run as verified or rolled back. Safe to run again.

    Returns:
        residue, residue_applied, held, changed_since, born_since, checks (failed ones) and reads.

    Raises:
        WrittenTwice: two calls meet in a document that is residue.
        VerifyFailed: residue remains after several passes, or a check does not hold; the paths are in `verify.json`.
    """
    with Writer(run.target.address) as writer, Reader(run.target.address) as reader:
        ledger = Ledger(writer)
        audit = Audit(ledger)
        refuse_to_write(audit.run(run) or {})
        lease = Lease(ledger, run.holder, run.path)
        # A rollback that came between would make of the verdict a lie. Another window's run may have the target, if the
        # task had to queue for longer than the lease lasts: it is waited for, as it waits for this one.
        lease.acquire(waits=run.waits or run.target.policy.approval)
        refuse_what_is_overtaken(run, audit)
        if run.is_down:
            finding = Look(run, audit, reader).at_what_was_restored()
            finding.reads += reads_of_verifying(run.folder)
            run.folder.write_json(VERIFIED, asdict(finding))
        else:
            finding = _until_no_residue(run, audit, writer, reader)
        _refuse_failed_checks(run, finding)
        if run.options.redrive:
            redrive.settle(run, audit, redrive.failed_before(run, audit))
        lease.permit()
        state = status.ROLLED_BACK if run.is_down else status.VERIFIED
        audit.record(run, "verify", f"residue 0, {finding.held} documents hold what was planned", state, error=None)
    return {name: value for name, value in asdict(finding).items() if not isinstance(value, list)}


def look_again(run: Run) -> Finding:
    """Look once at a version that is applied, and write nothing: neither to Firestore nor to the storage.

    Args:
        run: the one that applied it, with the percentage that the version is rolled out to.

    Raises:
        VerifyFailed: a document cannot be looked at.
    """
    with Reader(run.target.address) as reader:
        finding = Look(run, Audit(Ledger(reader)), reader, keeps=False).at_the_scope()
    if finding.failures:
        failure = finding.failures[0]
        raise VerifyFailed(
            f"{len(finding.failures)} documents of {run.version} cannot be looked at, the first of them "
            f"{failure.path} ({failure.error}).",
            "Mend the documents, or the migration.",
        )
    return finding


def _until_no_residue(run: Run, audit: Audit, writer: Writer, reader: Reader) -> Finding:
    applied_residue, reads = 0, reads_of_verifying(run.folder)
    for _ in range(_PASSES):
        look = Look(run, audit, reader)
        _record_applied(run, audit)
        finding = look.at_the_scope()
        reads += finding.reads
        finding.residue_applied, finding.reads = applied_residue, reads
        run.folder.write_json(VERIFIED, asdict(finding))  # what it has read is paid for, whatever comes of it
        _settle_failures(run, audit, finding)
        if not finding.residue:
            return finding
        part = look.residue_part()
        refuse_overlap(run.version, run.folder, [part])
        Applier(run, writer, reader).send(part)
        applied_residue += finding.residue
    raise VerifyFailed(
        f"{finding.residue} documents of {run.version} are still in the old shape after {_PASSES} passes.",
        "Something keeps writing them: deploy the code that writes the new shape, then clear `verify`.",
        residue=finding.residue,
    )


def _record_applied(run: Run, audit: Audit) -> None:
    data = audit.run(run) or {}
    if data.get("state") not in (status.APPLIED, status.VERIFIED):
        audit.record(run, "verify", "every batch is committed", status.APPLIED)


def _settle_failures(run: Run, audit: Audit, finding: Finding) -> None:
    """Record who cannot be planned now, and who can: a document may have been mended, or have stopped to move.

    Raises:
        VerifyFailed: documents came that the step cannot take, and more than are tolerated fail now.
    """
    failing = {failure.call for failure in finding.failures}
    before = audit.failures(run)
    new = [f for f in finding.failures if f.call not in {known.call for known in before}]
    audit.record_late_failures(run, new)
    if not finding.residue:
        mended = [f for f in before if not f.is_refused_by_the_server and f.call not in failing]
        audit.record_found_unchanged(run, [f for f in mended if run.step(f.step).idempotent])
    failed = sum(not failure.is_conflict for failure in audit.failures(run))
    counts: dict[str, int] = (audit.run(run) or {"counts": NO_COUNTS})["counts"]
    if new and failed > run.options.allowed_failures(counts["scanned"]):
        raise VerifyFailed(
            f"{len(new)} documents that {run.version} cannot migrate were written since it was planned, the first of "
            f"them {new[0].path} ({new[0].error}).",
            "Mend the documents or the migration, then clear `verify`; or raise max_failures.",
            failed=failed,
        )


def _refuse_failed_checks(run: Run, finding: Finding) -> None:
    if not finding.checks:
        return
    first = "; ".join(f"{f.path or 'script'}: {f.step} ({f.error})" for f in finding.failed_checks[:3])
    raise VerifyFailed(
        f"{finding.checks} checks of {run.version} do not hold: {first}.",
        f"All are in {run.folder / VERIFIED}. Mend the data or the check and clear `verify`, "
        f"or take it back with `firestore-migrations rollback {run.version}`.",
        failed=finding.checks,
    )
