"""The checksum tells an edit of the code from an edit of its looks, on every Python alike."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import firestore_migrations
from firestore_migrations.authoring.checksum import checksum

SOURCE = '''
"""Move every user to the new tiers."""

from firestore_migrations import each_document

NEW = {"free": "basic"}


@each_document("users")
def up(user, db):
    """Rename the tier."""
    user["tier"] = NEW.get(user["tier"], None)


class Tier:
    """A tier."""

    price = 1.0
'''

# Everything of which some Python prints another tree: empty fields, f-strings, literals, new grammar.
GRAMMAR = (
    '''
import asyncio as a, os.path
from . import sibling
from .. import *
@decorated(1, *rest, key=None, **more)
class Thing(Base, metaclass=Meta):
    count: int = 0
    (name): "str"
    def method(self, a, /, b: int = 1, *args: int, c, d=None, **kwargs) -> None:
        """Docstring with an escape \\\\d."""
        global one, two
        return lambda x, *, y=0: (yield x)
async def later():
    async with a as b, c: await d
    return [i async for i in e if i if not i]
match point:
    case {"x": 1, **rest} | [None, True, *_] | Point(0, y=-1) if rest: pass
    case str() as text: ...
    case _: del text, point[0]
try:
    while (n := n - 1): break
    else: raise ValueError from None
except (KeyError, ValueError) as error: nonsense = error
finally: assert error, "why"
numbers = 0xFF, 1_000, 1e999, -0.0, 3j, True, 10**5, 0o17, 0x'''
    + "F" * 5000
    + ''', ...
texts = "it's", 'it"s', u"u", b"\\x00\\xff", "\\ud800", "é", "\U0001fae8", "a" "b" r"\\d", """two
lines"""
formats = f"", f"a{1}b{{}}", f"{x!r:>{width}.{places}}", f"{x=}", f"{ x = !s:^5}"
joined = "a" f"{x}" "b" f"" "c", f"{x:}"
nested = f"{'q'}{d['k']}{x:%Y-%m-%d}", rf"\\d{x}\\n", f"""{
    x}
"""
slices = s[1:2, ::3, ...], [*a, *b], {**a, "k": None}, {1, 2}, not -x ** ~y @ z, 1 < x <= 3 is not None
'''
)
GRAMMAR_DIGEST = "ea047dd692071ba242f19b406ec91d37903e67385015de7b0f571fd8bf4b290f"


def test_looks_change_nothing() -> None:
    restyled = """#!/usr/bin/env python\r
# A licence.\r
\'\'\'Another description.\'\'\'\r
from firestore_migrations import (each_document)\r
NEW = {\r
    'free': "ba" 'sic',  # the new name\r
}\r
@each_document('users')\r
def up(user, db): user["tier"] = (NEW.get(user["tier"], None))\r
class Tier:\r
    price = 1.00\r
"""
    assert checksum(restyled) == checksum(SOURCE)


def test_a_byte_order_mark_changes_nothing() -> None:
    assert checksum("\ufeff" + SOURCE) == checksum(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"basic"', '"Basic"'),
        ('"basic"', 'b"basic"'),
        ("None)", "0)"),
        (", None)", ")"),
        ("price = 1.0", "price = 1"),
        ("price = 1.0", "price = True"),
        ("price = 1.0", "price: float = 1.0"),
        ("def up", "async def up"),
        ("(user, db)", "(user, db=None)"),
        ("(user, db)", "(user, *db)"),
        ('@each_document("users")', '@each_document(collection="users")'),
        ('"""A tier."""', 'f"""A tier."""'),
        ("class Tier:", "class Tier(object):"),
        ("import each_document", "import each_document as each_document"),
    ],
)
def test_any_change_of_code_changes_it(old: str, new: str) -> None:
    assert SOURCE.count(old) == 1
    assert checksum(SOURCE.replace(old, new)) != checksum(SOURCE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f(1, 2)", "f((1, 2))"),
        ("x = [[], 1]", "x = [[1], ]"),
        ("{**a, b: c}", "{b: c, **a}"),
        ("def f(*, a=None, b): pass", "def f(*, a, b=None): pass"),
        ("'a'; 'b'", "'b'; 'a'"),
        ("f'{x}a'", "f'a{x}'"),
        ("f'{x!r}'", "f'{x}'"),
        ("from . import x", "from .. import x"),
        ("x: int", "(x): int"),
        ("1", "'1'"),
        ("'NoneType None'", "None"),
        ("global a, b", "global ab"),
    ],
)
def test_different_code_differs(one: str, other: str) -> None:
    assert checksum(one) != checksum(other)


def test_a_docstring_may_take_the_place_of_pass() -> None:
    assert checksum("def f():\n    'Nothing yet.'") == checksum("def f(): pass")


def test_only_the_first_text_is_a_docstring() -> None:
    assert checksum("'one'; 'two'; x") == checksum("'1'; 'two'; x") != checksum("'one'; '2'; x")


def test_a_very_deep_expression_has_a_checksum() -> None:
    assert len(checksum("total = " + " + ".join(["1"] * 900))) == 64


def test_text_that_is_not_python_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        checksum("def up(:")


def test_the_digest_is_the_same_today_as_when_files_were_applied() -> None:
    """Audits hold digests for years: a change here reports every applied migration as edited."""
    assert checksum(GRAMMAR) == GRAMMAR_DIGEST


def _pythons() -> list[str]:
    """Every supported Python of this machine but the one that runs the tests."""
    found = []
    for minor in range(10, 14):
        if minor == sys.version_info.minor:
            continue
        name = f"python3.{minor}"
        candidates = [shutil.which(name), *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}")]
        for candidate in filter(None, candidates):
            started = subprocess.run([str(candidate), "-c", ""], capture_output=True, check=False)
            if started.returncode == 0:
                found.append(str(candidate))
                break
    return found


@pytest.mark.parametrize("python", _pythons())
def test_every_python_gives_the_same_digest(python: str) -> None:
    """CI runs the test above on each Python; this one does where several live together."""
    program = (
        "import sys; from firestore_migrations.authoring.checksum import checksum; "
        "print(checksum(sys.stdin.buffer.read().decode()))"
    )
    root = Path(firestore_migrations.__file__).parents[1]
    command, environment = [python, "-c", program], {"PYTHONPATH": str(root)}
    done = subprocess.run(command, input=GRAMMAR.encode(), capture_output=True, env=environment, check=False)
    assert (done.stdout.decode().strip(), done.stderr.decode()) == (GRAMMAR_DIGEST, "")
