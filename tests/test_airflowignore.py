from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from airflow._shared.module_loading import find_path_from_directory

PLUGINS = Path(__file__).parent.parent / "plugins"


def _shown_to_airflow(plugins: Path) -> list[str]:
    found = find_path_from_directory(plugins, ".airflowignore", "glob")
    return sorted(Path(path).relative_to(plugins).as_posix() for path in found)


def test_airflow_is_shown_no_module_of_the_package_but_the_plugin() -> None:
    assert set(_shown_to_airflow(PLUGINS)) <= {"firestore_migrations/plugin.py"}


@pytest.mark.parametrize("other", ["plugin.py", "firestore_migrations/web/plugin.py", "firestore_migrations/cli.py"])
def test_the_plugin_is_shown_and_a_file_like_it_elsewhere_is_not(tmp_path: Path, other: str) -> None:
    for name in ("firestore_migrations/plugin.py", other):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(PLUGINS / ".airflowignore", tmp_path)
    assert _shown_to_airflow(tmp_path) == ["firestore_migrations/plugin.py"]
