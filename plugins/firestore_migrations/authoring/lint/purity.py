"""Purity: what makes a plan depend on more than the snapshot and the migration."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firestore_migrations.authoring.lint.finding import Finding
from firestore_migrations.authoring.lint.names import Function, Names


@dataclass(frozen=True)
class _Rule:
    """What a rule forbids and says; `uses` are dotted names as `Names.origin` gives them."""

    why: str
    remedy: str
    uses: str = r"(?!)"
    modules: frozenset[str] = frozenset()
    only_in_functions: bool = False


_RULES = {
    "own-client": _Rule(
        "builds a client by hand: what it reads and writes is in no plan, no backup and no audit.",
        "Read and write through `db`, which the run connects to its target.",
        r"google\.(cloud|auth)\b.*\.(\w*Client|default)|googleapiclient\.discovery\.build(_from_document)?",
        frozenset({"firebase_admin"}),
    ),
    "network": _Rule(
        "reaches outside Firestore: a plan would differ from one pass to the next.",
        "Put the data into the file, or store it in a collection first and read it with `db.get(path)`.",
        r"os\.(system|popen|fork|(exec|spawn|posix_spawn)\w*)",
        frozenset(
            {
                "aiohttp",
                "ftplib",
                "http.client",
                "httpx",
                "imaplib",
                "paramiko",
                "requests",
                "smtplib",
                "socket",
            }
            | {"subprocess", "telnetlib", "urllib.request", "urllib3", "websockets", "xmlrpc.client"}
        ),
    ),
    "clock": _Rule(
        "is another time in each pass, so that the same plan is never made twice.",
        "Use `db.now`: one instant for the whole run.",
        r"(datetime\.datetime|google\.api_core\.datetime_helpers\.DatetimeWithNanoseconds|pendulum|arrow|pandas\.Timestamp)"
        r"\.(now|utcnow|today)|datetime\.date\.today|(airflow[\w.]*|django\.utils)\.timezone\.(utc)?now"
        r"|time\.(time|monotonic|perf_counter|process_time)(_ns)?|time\.(localtime|gmtime|ctime|asctime|strftime)",
    ),
    "random": _Rule(
        "gives another value in each pass or process.",
        "Derive the value from the document: `uuid.uuid5(SPACE, user.path)` or `random.Random(user.path)`.",
        r"random\.(?!Random$)\w+|uuid\.uuid[1467]|secrets\.\w+|os\.(urandom|getrandom)|builtins\.(hash|id)"
        r"|numpy\.random\.\w+",
    ),
    "file-io": _Rule(
        "reads the machine that the task happens to run on.",
        "Put the data into the file as a constant, or store it in a collection first.",
        r"(builtins|io|codecs|gzip)\.open|builtins\.input|sys\.(stdin|argv)|(shutil|tempfile|glob)\.\w+|sqlite3\.connect"
        r"|os\.(environb?|getenvb?|open|listdir|scandir|walk|stat|remove|unlink|rename|mkdir|makedirs|getcwd)"
        r"|os\.path\.(exists|isfile|isdir|getsize|getmtime)"
        r"|pathlib\.\w*Path(\(\))?\.(.*\.)?(open|cwd|home|exists|is_file|is_dir|iterdir|r?glob|stat|unlink|mkdir|touch"
        r"|(read|write)_(text|bytes))",
    ),
    "print-data": _Rule(
        "puts what it prints into the task's log, which may be a document's values.",
        "Leave it out: the review shows each change. Say why a document stays with `db.skip(reason)`.",
        r"builtins\.print|pprint\.\w+|sys\.(stdout|stderr)|warnings\.warn|structlog\.get_logger\(\)\.\w+"
        r"|logging\.(getLogger\(\)\.)?(debug|info|warning|warn|error|exception|critical|log)",
        only_in_functions=True,
    ),
    "global-state": _Rule(
        "outlives the document: the second pass, another shard or a retry finds another state.",
        "Keep it in a local name or in the document; for other documents there is `db.get(path)`.",
    ),
}
_MUTATING = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem"}
    | {"popleft", "remove", "reverse", "setdefault", "sort", "update"}
    | {"difference_update", "intersection_update", "symmetric_difference_update"}
)
_PATH_METHODS = frozenset({"read_text", "read_bytes", "write_text", "write_bytes"})
NAMES = frozenset(_RULES)


def impurities(path: Path, tree: ast.Module) -> Iterator[Finding]:
    """Every place where the file reaches for what is not in the snapshot; one finding a line and rule."""
    visitor = _Visitor(tree)
    visitor.visit(tree)
    for (line, rule), what in visitor.found.items():
        yield Finding(path, line, rule, f"{what} {_RULES[rule].why}", _RULES[rule].remedy)


class _Visitor(ast.NodeVisitor):
    """Walks the file with its scopes. Annotations are left out: they run nothing."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: dict[tuple[int, str], str] = {}
        self._names = Names(tree)

    def _note(self, node: Any, rule: str, what: str) -> None:
        self.found.setdefault((node.lineno, rule), what)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for outer in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(outer)
        self._visit_body(node, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_body(node, [node.body])

    def _visit_body(self, function: Function, body: list[Any]) -> None:
        with self._names.inside(function):
            for statement in body:
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value:
            self.visit(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module:
            for alias in node.names:
                self._module(node, f"{node.module}.{alias.name}")

    def _module(self, node: ast.AST, dotted: str) -> None:
        parts = dotted.split(".")
        within = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        for rule, forbids in _RULES.items():
            for module in sorted(forbids.modules & within):
                self._note(node, rule, f"`import {module}`")

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._use(node) if isinstance(node.ctx, ast.Load) else self._assigns(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._assigns(node)
        self.generic_visit(node)

    def _use(self, node: ast.Name | ast.Attribute) -> None:
        dotted = self._names.origin(node)
        if dotted is None:
            if isinstance(node, ast.Attribute) and node.attr in _PATH_METHODS:
                self._note(node, "file-io", f"`.{node.attr}`")
            return
        for rule, forbids in _RULES.items():
            if (self._names.in_function or not forbids.only_in_functions) and re.fullmatch(forbids.uses, dotted):
                self._note(node, rule, f"`{dotted.removeprefix('builtins.')}`")

    def _assigns(self, node: ast.Attribute | ast.Subscript) -> None:
        name = self._names.is_state(node)
        if self._names.in_function and name:
            self._note(node, "global-state", f"`{name}`, a global that changes here,")

    def visit_Call(self, node: ast.Call) -> None:
        called = self._names.origin(node.func)
        if called == "random.Random" and not (node.args or node.keywords):
            self._note(node, "random", "`random.Random()` without a seed")
        changed: ast.expr | None = None
        if isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATING:
            changed = node.func.value
        elif called == "builtins.next" and node.args:
            changed = node.args[0]
        if changed is not None and self._names.in_function:
            name = self._names.is_state(changed)
            if name:
                self._note(node, "global-state", f"`{name}`, a global that changes here,")
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self._note(node, "global-state", f"`global {', '.join(node.names)}`")

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._note(node, "global-state", f"`nonlocal {', '.join(node.names)}`")
