"""approval: a person's yes to one plan of one run; without it nothing is written to a target that asks for it.

It is bound to the plan's digest, so a plan that was made again needs another one, and it lapses if `apply` does not
begin in time. While people sleep over it the run does not hold the target: what happened meanwhile is looked at again
before the first write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from firestore_migrations.errors import ChecksumChanged, IllegalTransition, NotApproved, QuestionOpen
from firestore_migrations.firestore.connection import Writer
from firestore_migrations.runs import allowance, status
from firestore_migrations.runs.allowance import Allowance
from firestore_migrations.runs.amend import Event, RunName, Seen, amendment, look
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.committed import Part, plan_of
from firestore_migrations.runs.gates import refuse_sealed
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Conflict, Ledger
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.price import Usage
from firestore_migrations.runs.run import Run, instant
from firestore_migrations.runs.words import age

NOBODY = "nobody"
_NONE: dict[str, Any] = {"approved_by": None, "approved_digest": None, "approved_at": None, "approved_under": None}
_OVER = frozenset({status.APPLIED, status.VERIFIED, status.ROLLED_BACK})
"""States of a run whose plan was carried out, though there may have been nothing to write."""
_LOOK_SECONDS = 30
_MOST_CHARACTERS = 20_000  # of a report that is shown with a question


def is_needed(run: Run) -> bool:
    """Whether somebody has to approve the run's plan: the target asks for it, and the run is no dry run."""
    return run.target.policy.approval and run.options.mode == APPLY


def ask(run: Run) -> dict[str, Any]:
    """Ask for approval of the reviewed plan, unless it needs none or has one. Safe to run again.

    Where a question is open, the run awaits approval and has given the target back.

    Returns:
        is_open, digest, approved_by, and approved_under where an allowance covers the plan; of an open question is_new
        too: whether it was not open before.

    Raises:
        QuestionOpen: the run is one of a backfill, and another window is asked about; the target was given back.
        Refused: the run has no reviewed plan, or has ended.
    """
    if not is_needed(run):
        return {"is_open": False, "digest": None, "approved_by": None}
    with Writer(run.target.address) as writer:
        ledger = Ledger(writer)
        while True:
            seen = _seen(ledger, run)
            if _fault(run, seen, Audit(ledger)) == "":
                return _answer(seen.run.data)
            refuse_sealed(run, seen.run.data)
            state, event, changes, writes = None, _question(run, seen), _NONE, []
            found = allowance.fitting(run, ledger, instant(seen.at))
            if found is None:
                _refuse_while_another_is_asked(run, ledger, seen)
                state = status.AWAITING_APPROVAL
            else:
                changes = _approved(found.user, seen, found.given_at, found.id)
                event = Event("approve", f"approved by {found.user} with the windows of {found.id}", found.user)
                writes = [found.taking]
            amended, proof = amendment(ledger, seen, event, state, changes)
            try:
                ledger.commit([*amended, *writes], proof)
            except Conflict:
                continue
            break
        answer = _answer({**seen.run.data, **changes})
        if state is None:
            return answer
        Lease(ledger, run.holder, run.path).release()
        was_open = seen.run.data["state"] == status.AWAITING_APPROVAL and not seen.run.data.get("approved_digest")
        return {**answer, "is_open": True, "is_new": not was_open}


def approve(run: Run, digest: str, user: str, others: Allowance | None = None) -> dict[str, Any]:
    """Record that a person approves the plan of this digest, and perhaps what other windows may do. Safe to repeat.

    Args:
        run: that awaits approval.
        digest: of the plan that the person saw.
        user: who.
        others: what runs of other windows may do under this approval.

    Raises:
        NotApproved: the plan is another one by now, or the target's connection does not name the user.
        Refused: a newer run has gone on from this one.
        ChecksumChanged: the file was edited since.
        IllegalTransition: the run does not await approval.
        RunCancelled: it was cancelled.
    """
    with Writer(run.target.address) as writer:
        ledger = Ledger(writer)
        while True:
            seen = _seen(ledger, run)
            data = seen.run.data
            if data.get("approved_digest") == digest == data["plan_digest"] and data["approved_by"] == user:
                return _answer(data)
            try:
                _refuse_to_approve(run, seen, digest, user)
            except (ChecksumChanged, NotApproved) as refusal:
                why = f"the answer of {user} was refused: {refusal}"
                Audit(ledger).record(run, "approve", why, error=why)
                raise
            changes = _approved(user, seen, instant(seen.at))
            event = Event("approve", f"approved by {user}: plan {digest[:16]}", user)
            writes, proof = amendment(ledger, seen, event, changes=changes)
            if others is not None:
                writes.append(allowance.given(run, ledger, others, user, digest, instant(seen.at)))
            try:
                ledger.commit(writes, proof)
            except Conflict:
                continue
            return _answer({**data, **changes})


def reject(run: Run, by: str, why: str) -> None:
    """End a run that awaits approval for good: nothing was written, nothing will be. Safe to repeat.

    A run that was cancelled or has failed meanwhile stays as it is.

    Args:
        run: that awaits approval.
        by: the person who said no, or `NOBODY` where nobody answered.
        why: for the audit.

    Raises:
        IllegalTransition: the run does not await approval.
    """
    with Writer(run.target.address) as writer:
        ledger = Ledger(writer)
        while (seen := _seen(ledger, run)).run.data["state"] not in (status.REJECTED, status.FAILED):
            changes = {**_NONE, "rejected_by": by, "error": f"Rejected: {why}"}
            writes, proof = amendment(ledger, seen, Event("approve", why, by), status.REJECTED, changes)
            try:
                ledger.commit(writes, proof)
            except Conflict:
                continue
        Lease(ledger, run.holder, run.path).release()


def refuse_unapproved(run: Run, ledger: Ledger, part: Part) -> None:
    """Refuse to write without approval of exactly this plan; to be asked whenever a run begins to write.

    Args:
        run: that begins to write.
        ledger: of its target.
        part: what it is about to write. Nobody has seen the residue that `verify` finds, so it goes with the reviewed
            plan only until the run was verified, as long as the approval would hold after that was written, and where
            other windows were approved in advance, within what is left of that.

    Raises:
        NotApproved: nobody approved this plan, or it was too long ago.
        Refused: another run has changed what it was planned upon.
    """
    if not is_needed(run):
        return
    audit, seen = Audit(ledger), _seen(ledger, run)
    fault = _fault(run, seen, audit)
    if fault:
        raise NotApproved(
            f"{run.version} is not written to {run.target.name}: {fault}.",
            "Clear the task `approve` of the run, and it asks again.",
            run=run.id,
            digest=seen.run.data["plan_digest"],
        )
    if part.is_residue:
        _refuse_late_residue(run, seen, audit)
        _refuse_residue_beyond_allowance(run, seen, ledger, part)


def voided(data: Mapping[str, Any] | None, digest: str) -> dict[str, Any]:
    """The changes of a run's audit document that take back the approval of any other plan than this."""
    approved = (data or {}).get("approved_digest")
    return {} if approved in (None, digest) else _NONE


def report_of(run: Run) -> str:
    """The report of the run's plan, cut to what a page can show."""
    text = run.folder.read("report.md").decode()
    if len(text) <= _MOST_CHARACTERS:
        return text
    whole = text[:_MOST_CHARACTERS].rpartition("\n")[0]
    return f"{whole}\n\nThe report goes on in `{run.folder / 'report.md'}`.\n"


def _seen(ledger: Ledger, run: Run) -> Seen:
    seen = look(ledger, RunName(run.version, run.id))
    if seen is None or seen.run.data["plan_digest"] is None:
        raise NotApproved(
            f"Run {run.id} of {run.version} has no reviewed plan that could be approved.",
            "Clear the task `review`, or trigger a new run.",
            run=run.id,
        )
    status.refuse_cancelled(seen.run.data)
    return seen


def _fault(run: Run, seen: Seen, audit: Audit) -> str:
    """Why the plan is not approved now; empty where it is."""
    data, held = seen.run.data, run.target.policy.approval_max_age
    if not data.get("approved_digest"):
        return f"nobody has approved plan {data['plan_digest'][:16]} of run {run.id}"
    if data["approved_digest"] != data["plan_digest"]:
        return f"{data['approved_by']} approved plan {data['approved_digest'][:16]}, and it was made again since"
    since = instant(seen.at) - data["approved_at"]
    if since > held and not has_begun(data, run, audit):
        return f"{data['approved_by']} approved its plan {age(since)} ago, which holds for {age(held)}"
    return ""


def _refuse_late_residue(run: Run, seen: Seen, audit: Audit) -> None:
    data, held = seen.run.data, run.target.policy.approval_max_age
    commits = [instant(record.commit_time) for record in audit.batches(run.version, run.id) if not record.plan]
    since = instant(seen.at) - max([data["approved_at"], *commits])
    if since > held:
        raise NotApproved(
            f"Documents of {run.version} came to {run.target.name} after its plan was written {age(since)} ago; "
            f"the approval of {data['approved_by']} holds for {age(held)} after that.",
            f"Nothing was written. Trigger a new run: it plans these documents, and asks: `{run.again}`.",
            run=run.id,
            digest=data["plan_digest"],
        )
    if data["state"] == status.VERIFIED:
        raise NotApproved(
            f"Documents of {run.version} came to {run.target.name} after run {run.id} was verified; the approval of "
            f"{data['approved_by']} was for what it planned.",
            f"Nothing was written. Trigger a new run: it plans these documents, and asks: `{run.again}`.",
            run=run.id,
            digest=data["plan_digest"],
        )


def _refuse_residue_beyond_allowance(run: Run, seen: Seen, ledger: Ledger, part: Part) -> None:
    under = seen.run.data.get("approved_under")
    if not under:
        return
    plan = plan_of(run.folder, part)
    price = run.prices.of(Usage(writes=plan.rows + plan.batches))
    if not allowance.take_more(run, ledger, under, plan.rows, price):
        raise NotApproved(
            f"{plan.rows} more documents of {run.version} came to {run.target.name} during run {run.id}, and what "
            f"{seen.run.data['approved_by']} approved for other windows does not suffice for them.",
            f"They were not written, the plan was. Trigger a new run: it plans them, and asks: `{run.again}`.",
            run=run.id,
            approval=under,
        )


def _refuse_while_another_is_asked(run: Run, ledger: Ledger, seen: Seen) -> None:
    """Let the windows of a backfill be asked about one after the other: one answer may be for those behind it too."""
    if run.window is None or not run.waits or seen.run.data["state"] == status.AWAITING_APPROVAL:
        return
    for name, entry in ledger.entries(f"{seen.name.version_path}/runs", state=status.AWAITING_APPROVAL):
        since = instant(seen.at) - instant(entry.update_time)
        is_asked = entry.data.get("window") and not entry.data.get("approved_digest")
        if name != run.id and is_asked and since < run.target.policy.approval_timeout:
            Lease(ledger, run.holder, run.path).release()
            raise QuestionOpen(
                f"Run {name} of {run.version} awaits approval; the answer may be for the window {run.window} too.",
                "It is looked at again in a while.",
                free_in=_LOOK_SECONDS,
                run=name,
            )


def has_begun(data: Mapping[str, Any], run: Run, audit: Audit) -> bool:
    """Whether a run has written, or has carried out a plan in which there was nothing to write.

    Args:
        data: its audit document.
        run: which.
        audit: of its target.
    """
    return data["state"] in _OVER or audit.has_batches(run)


def _refuse_to_approve(run: Run, seen: Seen, digest: str, user: str) -> None:
    data, approvers = seen.run.data, run.target.policy.approvers
    if user == NOBODY or (approvers and user not in approvers):
        raise NotApproved(
            f"{user} is none of those who may approve on {run.target.name}{': ' if approvers else ''}"
            f"{', '.join(approvers)}.",
            "Nothing was written. Clear the task `approve`, and let one of them answer.",
            run=run.id,
            digest=digest,
        )
    refuse_sealed(run, data)
    if data["state"] != status.AWAITING_APPROVAL:
        raise IllegalTransition(
            f"Run {run.id} of {run.version} is {data['state']}; it cannot be approved.",
            f"Look with `firestore-migrations history {run.version} --events`.",
            run=run.id,
            state=data["state"],
        )
    if data["plan_digest"] != digest:
        raise NotApproved(
            f"Plan {digest[:16]} of run {run.id} was made again meanwhile; it is {data['plan_digest'][:16]} now.",
            "Nothing was written. Clear the task `approve`, and it asks for that one.",
            run=run.id,
            digest=data["plan_digest"],
        )
    if data["checksum"] != run.migration.checksum:
        raise ChecksumChanged(
            f"{run.migration.path.name} was edited after the plan of run {run.id} was reviewed.",
            "Nothing was written. Take the edit back, or clear `dry_run` so that it is planned again.",
            version=run.version,
        )


def _question(run: Run, seen: Seen) -> Event:
    return Event("approve", f"asks for approval of plan {seen.run.data['plan_digest'][:16]}", run.triggered_by)


def _approved(user: str, seen: Seen, at: datetime, under: str | None = None) -> dict[str, Any]:
    digest = seen.run.data["plan_digest"]
    return {"approved_by": user, "approved_digest": digest, "approved_at": at, "approved_under": under}


def _answer(data: Mapping[str, Any]) -> dict[str, Any]:
    under = {"approved_under": data["approved_under"]} if data.get("approved_under") else {}
    return {"is_open": False, "digest": data["plan_digest"], "approved_by": data["approved_by"], **under}
