"""Every knob is documented, and read from the environment."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from foldstep.service.contract.errors import InvalidInput
from foldstep.service.settings import PREFIX, Settings, settings_from_environment, working_root


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_described(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert not field.is_required()
    units = {"_per_s": "a second", "_s": "seconds", "_bytes": "bytes"}
    ending = next((ending for ending in units if name.endswith(ending)), None)
    assert ending is None or units[ending] in field.description


def test_environment_is_read() -> None:
    found = settings_from_environment(
        {PREFIX + "LEASE_TTL_S": "5", PREFIX + "DATA_ROOTS": "/a:/b", PREFIX + "PORT": "", "LEASE_TTL_S": "9"}
    )
    assert found.lease_ttl_s == 5.0
    assert found.allowed_roots == (Path("/a"), Path("/b"))
    assert found.port == Settings().port


def test_given_values_go_before_the_environment() -> None:
    assert settings_from_environment({PREFIX + "PORT": "1"}, port=2).port == 2


def test_faults_name_their_variables() -> None:
    with pytest.raises(InvalidInput) as refused:
        settings_from_environment({PREFIX + "PORT": "x", PREFIX + "LEASE_TTL_S": "-1"})
    assert {f.path for f in refused.value.faults} == {"FOLDSTEP_PORT", "FOLDSTEP_LEASE_TTL_S"}


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("sqlite:////x.db", "sqlite:////x.db"),
    ],
)
def test_database_address_gets_its_driver(given: str, resolved: str) -> None:
    assert Settings(database_url=given).resolved_database_url == resolved


def test_database_is_a_file_of_the_data_folder_by_default(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).resolved_database_url == f"sqlite:///{tmp_path}/foldstep.db"


def test_the_working_directory_is_a_root_where_its_files_are_meant_to_be_data(tmp_path: Path) -> None:
    assert working_root(tmp_path) == (tmp_path,)
    homes = [Path(account.pw_dir) for account in pwd.getpwall() if Path(account.pw_dir).is_dir()]
    for folder in (Path("/"), Path("/etc"), Path("/proc/self"), Path.home(), Path.home().parent, *homes):
        assert working_root(folder) == (), folder


def test_started_in_the_root_of_the_machine_only_the_data_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert Settings(data_dir=tmp_path).allowed_roots == (tmp_path,)
    assert Settings(data_dir=tmp_path, data_roots=("/",)).allowed_roots == (Path("/"),)
