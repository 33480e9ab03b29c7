"""The template: what `firestore-migrations new "add user stats"` writes."""

from __future__ import annotations

import re
from pathlib import Path

from firestore_migrations.errors import ConfigurationError

_TITLE = re.compile(r"[A-Za-z0-9]+(?:[ _-]+[A-Za-z0-9]+)*")
_NUMBERED = re.compile(r"v([0-9]+)_?.*\.py", re.IGNORECASE)
_LONGEST = 60

MIGRATION = '''\
"""{sentence}.

Say why, and for whom: people read this text before they approve the run.
"""

from firestore_migrations import Database, Document, each_document


# Also: each_document("users/{{uid}}/invoices"), or each_document("invoices", group=True) for every depth.
@each_document("your_collection")
def up(document: Document, db: Database) -> None:
    """Change the document in place; `db` creates and changes others, and has the time: `db.now`.

    It may run more than once on a document, so ask before you change.
    """
    if "displayName" not in document:
        document["displayName"] = document.get("name", "")


@up.verify
def has_a_display_name(document: Document, db: Database) -> None:
    """What must hold of every document after apply."""
    assert isinstance(document.get("displayName"), str)
'''

TEST = '''\
"""{version}: {sentence}."""

from firestore_migrations.testing import assert_migrates, load_migration

up = load_migration("{version}").step("up")


def test_a_document_gets_its_display_name() -> None:
    assert_migrates(up, before={{"name": "Ada"}}, after={{"name": "Ada", "displayName": "Ada"}})


def test_a_document_of_the_new_shape_stays_as_it_is() -> None:
    new = {{"name": "Ada", "displayName": "Countess Ada"}}
    assert_migrates(up, before=new, after=new)
'''


def create(folder: Path, title: str, tests: Path | None = None) -> tuple[Path, Path | None]:
    """Write the next migration, and its test where `tests` names a folder; never over a file.

    The example in it names a collection that nobody has, so running it unedited changes nothing.

    Args:
        folder: of the migrations; made where it is missing.
        title: a few words, like "add user stats".
        tests: for example `tests/migrations`; made where it is missing.

    Returns:
        The migration and its test.

    Raises:
        ConfigurationError: the title cannot be a file name, or a file is there already. Nothing was written.
    """
    name = _name(title)
    version = f"v{_next_number(folder):03d}"
    files = {folder / f"{version}_{name}.py": MIGRATION}
    if tests is not None:
        files[tests / f"test_{version}_{name}.py"] = TEST
    for path in files:
        if path.exists():
            raise ConfigurationError(
                f"{path} is there already, and `new` never writes over a file.",
                "Move it away, or choose another title.",
                file=str(path),
            )
    words = " ".join(re.split(r"[ _-]+", title.strip()))
    sentence = words[0].upper() + words[1:]
    for path, template in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template.format(sentence=sentence, version=version))
    migration, *test = files
    return migration, test[0] if test else None


def _name(title: str) -> str:
    words = title.strip()
    if not _TITLE.fullmatch(words) or len(words) > _LONGEST or words.isdigit():
        raise ConfigurationError(
            f"{title!r} cannot be the name of a migration: it takes words of the letters a-z and digits, "
            f"at most {_LONGEST} characters.",
            'Say in a few words what changes: firestore-migrations new "add user stats".',
        )
    if re.match(r"v[0-9]+([ _-]|$)", words, re.IGNORECASE):
        raise ConfigurationError(
            f"{title!r} begins with a version, which `new` numbers by itself.",
            'Give the words alone: firestore-migrations new "add user stats".',
        )
    return re.sub(r"[ _-]+", "_", words).lower()


def _next_number(folder: Path) -> int:
    """One after the highest that any file of the folder claims, well named or not."""
    numbers = [int(match[1]) for path in folder.glob("*.py") if (match := _NUMBERED.fullmatch(path.name))]
    return max(numbers, default=0) + 1
