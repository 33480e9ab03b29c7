"""Node with firebase-admin, installed by npm where there is npm."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).parent / "node"
_PACKAGES = Path(__file__).parent.parent / ".cache" / "node"


def install() -> Path | None:
    """Where firebase-admin is installed; None, said loudly, where it cannot be."""
    reason = "" if shutil.which("npm") and shutil.which("node") else "npm or node is not there"
    if not reason and not (_PACKAGES / "node_modules" / "firebase-admin").is_dir():
        _PACKAGES.mkdir(parents=True, exist_ok=True)
        shutil.copy(_SOURCE / "package.json", _PACKAGES)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(command, cwd=_PACKAGES, capture_output=True, text=True, check=False)
        reason = "" if done.returncode == 0 else f"npm install failed: {done.stderr[-300:]}"
    if reason:
        print(f"\n*** NODE IS LEFT OUT: {reason}. Nothing below compares with it. ***\n", file=sys.stderr)
        return None
    return _PACKAGES


def command(way: str, host: str, project: str, *, creates: bool) -> list[str]:
    """What runs one way of Node's."""
    return ["node", str(_SOURCE / "peers.mjs"), way, host, project, "creates" if creates else "updates"]
