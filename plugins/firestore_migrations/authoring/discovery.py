"""Discovery: from a folder of files to its migrations, in version order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from firestore_migrations.authoring.loading import facts_of, load, version_number
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import AuthoringError, ConfigurationError, DuplicateVersion

__all__ = ["Discovered", "discover", "find", "load", "version_number"]


@dataclass(frozen=True)
class Discovered:
    """What a folder holds: every migration that can be used, and why the other files cannot.

    Attributes:
        migrations: in version order.
        errors: in the order of the files; each has the facts `file` and, where known, `version` and `line`.
    """

    migrations: tuple[Migration, ...]
    errors: tuple[AuthoringError, ...]

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that a file claims, those of broken files too, in order."""
        claimed = {migration.version for migration in self.migrations}
        claimed.update(error.facts["version"] for error in self.errors if error.facts.get("version"))
        return tuple(sorted(claimed, key=lambda version: int(version[1:])))


def discover(folder: Path) -> Discovered:
    """Load every migration of the folder; one broken file never hides another.

    Raises:
        ConfigurationError: there is no such folder.
    """
    paths = find(folder)
    claims: dict[int | None, list[Path]] = defaultdict(list)
    for path in paths:
        claims[version_number(path)].append(path)
    migrations: list[Migration] = []
    errors: list[AuthoringError] = []
    for path in paths:
        number = version_number(path)
        others = [other for other in claims[number] if other != path] if number is not None else []
        try:
            if others:
                raise _duplicate(path, others)
            migrations.append(load(path))
        except AuthoringError as error:
            errors.append(error)
    return Discovered(tuple(migrations), tuple(errors))


def find(folder: Path) -> list[Path]:
    """The files that claim to be migrations, in version order; those with a bad name come last.

    That is every `*.py` of the folder itself, whatever it is, but those whose name starts with `_` or `.`. Reads no
    file.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no folder of migrations at {folder}.",
            'Configure the right folder, or start it: `firestore-migrations new "add user stats"`.',
            folder=str(folder),
        )
    claiming = [path for path in folder.glob("*.py") if path.name[0] not in "_."]
    return sorted(claiming, key=lambda path: (version_number(path) is None, version_number(path) or 0, path.name))


def _duplicate(path: Path, others: list[Path]) -> DuplicateVersion:
    names = ", ".join(sorted(other.name for other in others))
    return DuplicateVersion(
        f"{path} and {names} are the same version.",
        "Give one of them the next free number; keep the one that was applied.",
        **facts_of(path),
        others=tuple(str(other) for other in others),
    )
