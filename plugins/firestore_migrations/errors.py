"""Every error that this package raises, and what a person does about each.

    FirestoreMigrationsError
    ├── AuthoringError                 a file in migrations/ cannot be used
    │   ├── BadFileName                not vNNN_some_name.py
    │   ├── DuplicateVersion           two files claim one version
    │   ├── CannotLoad                 syntax error, or the import raised
    │   ├── NoDocstring                the description is missing
    │   ├── NoStep                     no @each_document and no @script
    │   └── BadStep                    a decorator was given something impossible
    ├── ConfigurationError             connection, configuration or parameter
    │   └── EmulatorMissing            no Firestore emulator was found
    ├── InvalidValue                   Firestore cannot hold this value
    ├── DocumentError                  the author's code used a document or `db` in a way that cannot be planned
    ├── WriteRefused                   a write was tried on a connection that only reads
    ├── Refused                        a gate said no; nothing was written
    │   ├── LeaseHeld                  another run holds the target
    │   ├── OutOfOrder                 an older version is pending, or a later one is applied
    │   ├── ChecksumChanged            the file of an applied version was edited
    │   ├── UnknownVersion             there is no such file
    │   ├── NotRehearsed               the target asks for a passed rehearsal, and there is none that is young enough
    │   ├── NothingToRollBack          no committed run of this version
    │   ├── NothingToRedrive           no document of this version is left that failed
    │   ├── RunPaused                  somebody paused the run; only `resume` lets it go on
    │   ├── RunCancelled               somebody cancelled the run; it writes nothing more
    │   ├── NotApproved                the target asks for approval, and nobody approved this plan
    │   ├── QuestionOpen               another window of the version is asked about; its answer may be for this one too
    │   └── IllegalTransition          the run's state does not allow this
    ├── PlanError                      the dry run found what must not be applied
    │   ├── NotIdempotent              a second pass would change a document again
    │   ├── WrittenTwice               two steps or documents write one document
    │   ├── TooManyFailures            more failing documents than max_failures
    │   ├── DataWouldExpire            a time-to-live policy would delete a document
    │   └── OverBudget                 it would cost more than the budget
    ├── AuditAltered                   a document of the audit is not as this package wrote it
    ├── StorageError                   snapshot or plan cannot be written or read back whole
    ├── CommitError                    the server refused a commit for good
    ├── ExportFailed                   a managed export ended without a complete copy
    ├── Unavailable                    the server did not answer in time; safe to try again
    └── VerifyFailed                   the data is not what the migration promises

A message has three parts: what happened; to which version, document or batch; what to do next.
"""

from __future__ import annotations

from typing import Any


class FirestoreMigrationsError(Exception):
    """The root: catch this to catch every error of this package.

    Args:
        what: what happened, to what. Never a value out of a document; paths and field names may appear.
        next_step: what to do about it, ideally a command that can be pasted.
        facts: the same facts as attributes, for programs.
    """

    def __init__(self, what: str, next_step: str = "", **facts: Any) -> None:
        super().__init__(f"{what} {next_step}".strip())
        self.what = what
        self.next_step = next_step
        self.facts = facts


class AuthoringError(FirestoreMigrationsError):
    """A file in migrations/ cannot be used; the other files still can."""


class BadFileName(AuthoringError):
    """A file in migrations/ is not named vNNN_some_name.py."""


class DuplicateVersion(AuthoringError):
    """Two files claim one version."""


class CannotLoad(AuthoringError):
    """The file has a syntax error, or importing it raised."""


class NoDocstring(AuthoringError):
    """The file has no docstring, so the migration has no description."""


class NoStep(AuthoringError):
    """The file has no @each_document and no @script."""


class BadStep(AuthoringError):
    """A step's decorator was given something impossible."""


class ConfigurationError(FirestoreMigrationsError):
    """A connection, a configuration value or a parameter is wrong or missing."""


class EmulatorMissing(ConfigurationError):
    """No Firestore emulator was found on this machine."""


class InvalidValue(FirestoreMigrationsError, ValueError):
    """Firestore cannot hold this value."""


class DocumentError(FirestoreMigrationsError):
    """The author's code used a document or `db` in a way that cannot be planned."""


class WriteRefused(FirestoreMigrationsError):
    """A write was tried on a connection that only reads. Nothing was sent."""


class Refused(FirestoreMigrationsError):
    """A gate said no. Nothing was written."""


class LeaseHeld(Refused):
    """Another run holds the right to write to this target."""


class OutOfOrder(Refused):
    """An older version is pending, or a later one is applied."""


class ChecksumChanged(Refused):
    """The file of an applied version was edited since."""


class UnknownVersion(Refused):
    """There is no file of this version in migrations/."""


class NotRehearsed(Refused):
    """The target asks for a passed rehearsal of this file, and there is none that is young enough."""


class NothingToRollBack(Refused):
    """No run of this version has committed anything that was not taken back."""


class NothingToRedrive(Refused):
    """No document of this version is left that failed."""


class RunPaused(Refused):
    """Somebody paused the run: it writes nothing until somebody resumes it."""


class RunCancelled(Refused):
    """Somebody cancelled the run: it never writes again."""


class NotApproved(Refused):
    """The target asks for approval, and nobody has approved this plan, or too long ago."""


class QuestionOpen(Refused):
    """Another window of the version awaits approval, whose answer may be for this one too: look again later."""


class IllegalTransition(Refused):
    """The run's state does not allow this step."""


class PlanError(FirestoreMigrationsError):
    """The dry run found something that must not be applied. Nothing was written."""


class NotIdempotent(PlanError):
    """A second pass over the planned documents would change them again."""


class WrittenTwice(PlanError):
    """Two steps, or two documents of one step, write the same document."""


class TooManyFailures(PlanError):
    """More documents failed than max_failures allows."""


class DataWouldExpire(PlanError):
    """A write would make a time-to-live policy delete its document."""


class OverBudget(PlanError):
    """The run would cost more than its budget."""


class AuditAltered(FirestoreMigrationsError):
    """A document of the audit is not as this package wrote it; what it should say cannot be guessed."""


class StorageError(FirestoreMigrationsError):
    """A snapshot or plan could not be written, or cannot be read back whole."""


class CommitError(FirestoreMigrationsError):
    """The server refused a commit for good; nothing of that batch was written."""


class ExportFailed(FirestoreMigrationsError):
    """A managed export of Google's ended without a complete copy. Nothing was written."""


class Unavailable(FirestoreMigrationsError):
    """The server did not answer in time. It is safe to try again."""


class VerifyFailed(FirestoreMigrationsError):
    """The data is not what the migration promises."""
