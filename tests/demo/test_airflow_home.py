import pytest

from demo.airflow_home import AirflowHome
from firestore_migrations.errors import ConfigurationError


def test_a_new_life_keeps_passwords_and_what_is_not_ours_alone(tmp_path):
    home = AirflowHome(tmp_path / "home")
    with home.hold():
        passwords = home.passwords()
        for name in ("airflow.db", "storage", "notes.txt"):
            (home.folder / name).touch()
    with home.hold():
        assert home.passwords() == passwords
        assert not (home.folder / "airflow.db").exists()
        assert not home.storage.exists()
        assert (home.folder / "notes.txt").exists()


def test_a_home_serves_one_process_at_a_time(tmp_path):
    with AirflowHome(tmp_path).hold(), pytest.raises(ConfigurationError, match="in use"):
        AirflowHome(tmp_path).hold().__enter__()


def test_a_persons_own_airflow_settings_stay_out(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", "/elsewhere")
    environment = AirflowHome(tmp_path).environment()
    assert {name: value for name, value in environment.items() if name.startswith("AIRFLOW_")} == {
        "AIRFLOW_HOME": str(tmp_path)
    }


def test_only_its_owner_reads_settings_and_passwords(tmp_path):
    home = AirflowHome(tmp_path)
    home.configure(8181)
    home.passwords()
    for name in ("airflow.cfg", "passwords.json"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert "host = 127.0.0.1" in (tmp_path / "airflow.cfg").read_text()
