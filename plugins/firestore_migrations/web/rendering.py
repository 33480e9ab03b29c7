"""From a template to an answer, and how the page writes numbers, times and states: as the terminal does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
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


def when(time: datetime | str | None) -> str:
    """A time to read, in UTC, as the terminal writes it."""
    if not time:
        return ""
    at = datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"


def short(digest: str | None) -> str:
    """The beginning of a digest or checksum."""
    return (digest or "")[:16]


def duration(seconds: float | None) -> str:
    """A length of time, in the two largest units that it fills."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3_600, whole % 3_600 // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def took(run: Mapping[str, Any]) -> str:
    """How long a run took, by its audit."""
    if not run.get("finished_at"):
        return ""
    length: timedelta = run["finished_at"] - run["started_at"]
    return duration(length.total_seconds())


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
        when=when,
        short=short,
        duration=duration,
        took=took,
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
