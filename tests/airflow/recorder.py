"""A notifier that writes down what it is told: the nearest that a test can have to a chat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context


class Recorder(BaseNotifier):
    """Appends a rendered text to a file, one JSON string a line.

    Args:
        text: a template.
        path: of the file; empty for one that always fails.
    """

    template_fields: Sequence[str] = ("text",)

    def __init__(self, text: str, path: str) -> None:
        super().__init__()
        self.text = text
        self.path = path

    def notify(self, context: Context) -> None:  # noqa: ARG002 -- what the base class asks for
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.text) + "\n")
