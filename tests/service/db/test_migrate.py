"""The scripts make exactly the tables that the code has, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from foldstep.service.contract.errors import Conflict, InvalidInput
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.spec import ColumnRef, CvSpec, DataSpec, MetricSpec
from foldstep.service.contract.states import TrialState
from foldstep.service.db import searches
from foldstep.service.db.engine import Database
from foldstep.service.db.migrate import HEAD, revision, upgrade
from foldstep.service.db.tables import metadata
from foldstep.service.flow import rank
from foldstep.service.flow.context import Context
from foldstep.service.settings import Settings
from tests.service.conftest import PostgresServer
from tests.service.scenes import Clock, Hand, new_search, result
from tests.worker.data.tables import problem_of

_SCRIPTS = Path(__file__).parents[3] / "migrations"


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = ""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create(f"empty_{abs(hash(tmp_path))}")
    database = Database(Settings(database_url=url, data_dir=tmp_path).resolved_database_url)
    yield database
    database.close()


def shape(connection: Connection) -> dict[str, Any]:
    """All that a database says of its tables, the CHECK constraints among it; conditions of indexes as text."""
    inspector = inspect(connection)
    return {
        name: {
            "columns": [{**c, "type": str(c["type"])} for c in inspector.get_columns(name)],
            "primary key": inspector.get_pk_constraint(name),
            "foreign keys": sorted(inspector.get_foreign_keys(name), key=str),
            "checks": sorted(inspector.get_check_constraints(name), key=str),
            "indexes": [
                {**i, "dialect_options": {k: str(v) for k, v in i["dialect_options"].items()}}
                for i in inspector.get_indexes(name)
            ],
        }
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def test_scripts_make_the_tables_of_the_code(empty: Database) -> None:
    assert upgrade(empty)
    with empty.read() as connection:
        migrated = shape(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert revision(connection) == HEAD
    with empty.write() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        metadata.drop_all(connection)
        metadata.create_all(connection)
        assert shape(connection) == migrated


def test_second_upgrade_changes_nothing(empty: Database) -> None:
    assert upgrade(empty)
    assert not upgrade(empty)


def run_to(database: Database, script: str) -> None:
    """Bring a database up, or down, to a script."""
    with database.rebuild() as connection:
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.attributes["connection"] = connection
        present = revision(connection)
        (command.upgrade if present is None or present < script else command.downgrade)(config, script)


def rows_of(database: Database, table: str, key: str = "id") -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY {key}")).mappings()]


def test_tables_that_are_made_anew_keep_their_rows_and_what_refers_to_them(empty: Database) -> None:
    run_to(empty, "0004")
    with empty.write() as connection:
        connection.execute(text(_SEARCH), {"id": "s", "spec": _spec()})
        for statement in _A_TRIAL_WITH_A_FOLD:
            connection.execute(text(statement))
    assert upgrade(empty)
    with empty.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM trials WHERE rungs IS NULL")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM folds")).scalar_one() == 1
        connection.execute(text("DELETE FROM trials"))
        assert connection.execute(text("SELECT count(*) FROM folds")).scalar_one() == 0, "foreign keys are on again"


def _spec(**metric: Any) -> str:
    """A spec as an earlier version stored it, everything filled in."""
    data = {"dataset": "mine.csv", "target": "y", "task": "regression", "test": {"column": "part"}}
    raw = {"name": "s", "seed": 7, "data": data, "cv": {"folds": 3, "repeats": 2}, "metric": {"name": "mae", **metric}}
    return parse_spec(raw).model_dump_json()


_SEARCH = (
    "INSERT INTO searches (id, name, state, submitted, spec, dataset, fingerprint, n_folds, notes, stage, n_stages,"
    " created_at) VALUES (:id, 's', 'queued', '{}', :spec, 'mine.csv', 'f', 6, '[]', 0, 1, '2030-01-01')"
)
_A_TRIAL_WITH_A_FOLD = (
    "INSERT INTO trials (search_id, number, stage, state, params, pack_key, epoch, epochs, attempts, kept, created_at)"
    " VALUES ('s', 0, 0, 'waiting', '{}', 32, 0, 1, 0, false, '2030-01-01')",
    "INSERT INTO folds (search_id, trial, fold, best_epoch, epochs, train_loss, scores)"
    " VALUES ('s', 0, 0, 0, 0, '', '')",
)
_DATASET = (
    "INSERT INTO datasets (name, fingerprint, description, created_at)"
    """ VALUES ('mine', 'known', '{"n_rows": 90}', '2030-01-01')"""
)
_WORKER = (
    "INSERT INTO workers (id, name, device, version, registered_at, last_seen_at, step)"
    " VALUES (1, 'w', 'cpu', '0.1.0', '2030-01-01', '2030-01-01', 'compiled amx')"
)


def test_the_facts_of_stored_searches_become_problems_and_columns_again(empty: Database) -> None:
    run_to(empty, "0007")
    with empty.write() as connection:
        connection.execute(text(_SEARCH), {"id": "counted", "spec": _spec(target=0.5)})
        connection.execute(text(_SEARCH), {"id": "old", "spec": _spec()})
        known = "UPDATE searches SET fingerprint = 'known', n_inputs = 4, n_outputs = 1 WHERE id = 'counted'"
        for statement in (known, _DATASET, _WORKER, *(s.replace("'s'", "'old'") for s in _A_TRIAL_WITH_A_FOLD)):
            connection.execute(text(statement))
    before = rows_of(empty, "searches"), rows_of(empty, "workers")
    assert upgrade(empty)
    with empty.read() as connection:
        counted, old = searches.get(connection, "counted").problem, searches.get(connection, "old").problem
    facts = {"task": "regression", "target": "y", "seed": 7, "n_folds": 6}
    assert counted.model_dump() | facts == counted.model_dump()
    assert (counted.fingerprint, counted.n_rows, counted.n_inputs, counted.n_outputs) == ("known", 90, 4, 1)
    assert (old.fingerprint, old.n_rows, old.n_inputs, old.n_outputs) == ("f", None, None, None)
    assert counted.metric == MetricSpec(name="mae", target=0.5)
    assert old.data == DataSpec(dataset="mine.csv", target="y", task="regression", test=ColumnRef(column="part"))
    assert old.cv == CvSpec(folds=3, repeats=2)
    assert rows_of(empty, "workers")[0]["backend"] == "compiled amx"
    run_to(empty, "0007")
    assert (rows_of(empty, "searches"), rows_of(empty, "workers")) == before
    assert len(rows_of(empty, "folds", "fold")) == 1
    with pytest.raises(InvalidInput, match="constraint"), empty.write() as connection:
        connection.execute(text("UPDATE searches SET n_folds = 0"))
    assert upgrade(empty)
    with empty.read() as connection:
        assert searches.get(connection, "counted").problem == counted


def test_stored_problems_say_that_they_have_no_reading_and_no_baseline(empty: Database) -> None:
    run_to(empty, "0008")
    problem = problem_of().model_dump(exclude={"reading", "baseline"})
    told = json.dumps(problem)
    with empty.write() as connection:
        search = _SEARCH.replace("dataset, fingerprint, n_folds", "problem").replace("'mine.csv', 'f', 6", ":problem")
        connection.execute(text(search), {"id": "s", "spec": _spec(), "problem": told})
        connection.execute(text(_DATASET))
    before = rows_of(empty, "searches"), rows_of(empty, "datasets", "name")
    assert upgrade(empty)
    with empty.read() as connection:
        assert searches.get(connection, "s").problem == problem_of()
    assert json.loads(rows_of(empty, "searches")[0]["problem"]) == {**problem, "reading": None, "baseline": None}
    assert rows_of(empty, "datasets", "name")[0]["file"] is None
    run_to(empty, "0008")
    after = rows_of(empty, "searches"), rows_of(empty, "datasets", "name")
    assert after == before


def test_a_developers_alembic_command_keeps_what_refers_to_a_table_that_is_made_anew(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(empty)
    run_to(empty, "0007")
    with empty.write() as connection:
        connection.execute(text(_SEARCH), {"id": "s", "spec": _spec()})
        for statement in _A_TRIAL_WITH_A_FOLD:
            connection.execute(text(statement))
    monkeypatch.setenv("FOLDSTEP_DATABASE_URL", empty.engine.url.render_as_string(hide_password=False))
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    command.upgrade(config, "0008")
    command.downgrade(config, "0007")
    assert len(rows_of(empty, "folds", "fold")) == 1


def test_head_is_the_newest_script() -> None:
    assert ScriptDirectory(str(_SCRIPTS)).get_current_head() == HEAD


def test_database_of_a_newer_version_is_refused(empty: Database) -> None:
    upgrade(empty)
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="newer version"):
        upgrade(empty)


def _scripts() -> list[str]:
    """Every revision, the newest first."""
    return [script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()]


def test_every_script_has_a_way_down() -> None:
    for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions():
        assert callable(getattr(script.module, "downgrade", None)), script.revision


def test_down_and_up_again_from_every_version_with_rows_in_the_tables(empty: Database, tmp_path: Path) -> None:
    """Trials of all kinds survive each way down; each earlier database becomes the present one again."""
    made = {script: _made_by(empty, script) for script in reversed(_scripts())}
    context = Context(empty, Settings(data_dir=tmp_path), Clock())
    search = new_search(context, early_stop={"rungs": "asha"}, cv={"folds": 3})
    hand = Hand(context)
    held = hand.take(members=12)
    first, second, third, *_ = (t.number for t in held.trials)
    hand.report(
        held,
        result(first, (0.5, 0.6, 0.7), checkpoints=True),
        result(second, (0.5, None, 0.7), outcome="undefined"),
        result(third, (0.5,), outcome="paused", epochs=1),
        steps=5,
    )
    with empty.read() as connection:
        before = {table: _count(connection, table) for table in ("searches", "trials", "folds", "leases", "workers")}
        present = shape(connection)
    for script in _scripts()[1:]:
        run_to(empty, script)
        with empty.read() as connection:
            assert {table: _count(connection, table) for table in before} == before, script
            assert _rules(connection) == made[script], script
        upgrade(empty)
        with empty.read() as connection:
            assert shape(connection) == present, script
            assert {table: _count(connection, table) for table in before} == before, script
            assert searches.get(connection, search).spec.cv.folds == 3
            ranked = connection.execute(text("SELECT number FROM trials WHERE rank_key IS NOT NULL")).scalars().all()
            assert ranked == [first], script


def _made_by(database: Database, script: str) -> dict[str, Any]:
    run_to(database, script)
    with database.read() as connection:
        return _rules(connection)


def _rules(connection: Connection) -> dict[str, Any]:
    """The columns of each table, in any order, which of them may be NULL, and the constraints."""
    return {
        name: (sorted((c["name"], c["nullable"]) for c in found["columns"]), found["checks"], found["foreign keys"])
        for name, found in shape(connection).items()
    }


def _count(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_workers_keep_their_leases_when_the_tokens_become_hashes(empty: Database, tmp_path: Path) -> None:
    upgrade(empty)
    context = Context(empty, Settings(data_dir=tmp_path), Clock())
    new_search(context)
    hand = Hand(context)
    held = hand.take()
    run_to(empty, "0011")
    with empty.write() as connection:
        connection.execute(text("UPDATE leases SET token = :token"), {"token": held.token})
    upgrade(empty)
    hand.report(held, result(0))
    assert rank.trial(context, held.search, 0).state is TrialState.COMPLETED
