"""From a template to an answer, and how the page writes numbers, times and states: as the terminal does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from firestore_migrations.runs.price import in_dollars
from firestore_migrations.runs.windows import Window
from firestore_migrations.runs.words import counts_in_words, duration, price_of, took, when
from firestore_migrations.web import PREFIX

_CODE = re.compile("`([^`]+)`")
STATIC = Path(__file__).parent / "static"
LOOKS = {
    "verified": ("✓", "good"),
    "applied": ("✓", "good"),
    "passed": ("✓", "good"),
    "done": ("✓", "good"),
    "success": ("✓", "good"),
    "baseline": ("▪", "good"),
    "partial": ("◐", "busy"),
    "planned": ("◇", "wait"),
    "pending": ("○", "wait"),
    "not_rehearsed": ("○", "wait"),
    "waiting": ("○", "idle"),
    "not done": ("·", "idle"),
    "awaiting_approval": ("?", "ask"),
    "applying": ("▶", "busy"),
    "working": ("▶", "busy"),
    "running": ("▶", "busy"),
    "queued": ("…", "wait"),
    "rolling_back": ("◀", "busy"),
    "rolled_back": ("↩", "idle"),
    "paused": ("‖", "ask"),
    "rejected": ("⊘", "bad"),
    "failed": ("✕", "bad"),
    "changed": ("≠", "bad"),
    "missing": ("∅", "bad"),
    "out_of_order": ("⇅", "bad"),
}
"""For each state a sign and a tone: who sees no colours reads the sign and the word."""


def render(request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """An HTML answer. Every value is escaped, unless a template was itself the author of the markup."""
    root = root_of(request)
    page = _environment().get_template(template)
    around = {"root": root, "airflow": root.removesuffix(PREFIX), "assets": _assets(), "path": request.url.path}
    return HTMLResponse(page.render({**around, **values}), status_code=status)


def root_of(request: Request) -> str:
    """The path of this page's own root, as browsers see it, without the last slash."""
    return "/" + str(request.scope.get("root_path", PREFIX)).strip("/").replace("//", "/")


def in_path(*parts: str) -> str:
    """Parts of a path, each quoted."""
    return "/".join(quote(part, safe="") for part in parts)


def short(digest: str | None) -> str:
    """The beginning of a digest or checksum."""
    return (digest or "")[:16]


def number(value: float | None) -> str:
    """A count to read."""
    return "" if value is None else f"{value:,.0f}"


def prose(text: str) -> Markup:
    """A text of ours, with what stands in backticks as code; everything else of it is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 -- escaped before


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        dollars=in_dollars,
        when=lambda at: when(datetime.fromisoformat(at) if isinstance(at, str) else at),
        short=short,
        duration=duration,
        took=lambda run: duration(None if (length := took(run)) is None else length.total_seconds()),
        counts=counts_in_words,
        price=price_of,
        number=number,
        interval=lambda fields: Window.recorded(fields).text,
        prose=prose,
    )
    environment.globals.update(looks=LOOKS, in_path=in_path)
    return environment


@cache
def _assets() -> str:
    """A name that changes with the style and the script, so that no browser shows an old one."""
    return sha256(b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))).hexdigest()[:12]
