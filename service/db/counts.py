"""The rows of `counts`: how many trials each search has by stage and state, kept by the database itself.

Triggers on `trials` change a count with the row that changes, in the same transaction, so that no statement can forget
it. On Postgres each transaction adds to rows of its own (`slot`), so that masters do not wait for each other's counts;
`fold` adds them up from time to time. The epochs are those of trials that have ended: of the others they still change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, bindparam, func, select, text

from foldstep.service.contract.states import TERMINAL_TRIAL, TrialState
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import counts, words

_ADVISORY_LOCK = 5_128_490_174
_KEY = "search_id, stage, state, slot"
_IS_ENDED = f"state IN ({words(TERMINAL_TRIAL)})"
_SUMS = ("n", "epochs", "trained")

_IN_STATE = (counts.c.search_id == bindparam("id"), counts.c.state == bindparam("state"))
_OF_STATE = Prepared(select(func.coalesce(func.sum(counts.c.n), 0)).where(*_IN_STATE), ("id", "state"))
_GROUPS = (counts.c.search_id, counts.c.stage, counts.c.state)
_BY_STAGE = select(*_GROUPS, *(func.sum(counts.c[name]) for name in _SUMS)).group_by(*_GROUPS)
_OF_ALL = select(counts.c.state, func.sum(counts.c.n)).group_by(counts.c.state)


def n_in(connection: Connection, search_id: str, state: TrialState) -> int:
    """Count the trials of a search that are in a state."""
    return int(_OF_STATE.rows(connection, {"id": search_id, "state": state})[0][0])


def by_stage(
    connection: Connection, search_ids: Collection[str]
) -> Iterator[tuple[str, int, TrialState, int, int, int]]:
    """Read (search, stage, state, trials, their epochs, those trained); the last two only of states that end trials."""
    found = connection.execute(_BY_STAGE.where(counts.c.search_id.in_(search_ids)))
    for search_id, stage, state, n, epochs, trained in found:
        if n:
            yield search_id, stage, state, int(n), int(epochs), int(trained)


def by_state(connection: Connection, search_id: str) -> dict[TrialState, int]:
    """Count the trials of a search by state; states without trials are absent."""
    found: dict[TrialState, int] = {}
    for _, _, state, n, _, _ in by_stage(connection, [search_id]):
        found[state] = found.get(state, 0) + n
    return found


def version(connection: Connection, search_id: str) -> tuple[tuple[object, ...], ...]:
    """Find what changes whenever a trial of a search ends, or is open again."""
    rows = by_stage(connection, [search_id])
    return tuple(sorted(row[1:] for row in rows if row[2] in TERMINAL_TRIAL))


def of_all(connection: Connection) -> dict[TrialState, int]:
    """Count the trials of all searches by state."""
    return {state: int(n) for state, n in connection.execute(_OF_ALL) if n}


def fold(connection: Connection) -> None:
    """Add up the rows of ended transactions on Postgres; nothing to do where another master does so, and on SQLite."""
    if connection.dialect.name == "sqlite":
        return
    locked = select(func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))
    if connection.execute(locked).scalar_one():
        connection.execute(text(_FOLD))


_ADDED = ", ".join(f"{name} = counts.{name} + excluded.{name}" for name in _SUMS)
_FOLD = f"""
    WITH gone AS (DELETE FROM counts WHERE slot <> 0 RETURNING *)
    INSERT INTO counts ({_KEY}, n, epochs, trained)
    SELECT search_id, stage, state, 0, sum(n), sum(epochs), sum(trained) FROM gone GROUP BY search_id, stage, state
    ON CONFLICT ({_KEY}) DO UPDATE SET {_ADDED}
"""


def _change(row: str, sign: str, slot: str) -> str:
    """Write the statement of a trigger that counts a row, OLD or NEW, in or out."""
    ended = f"CASE WHEN {row}.{_IS_ENDED} THEN {row}.{{}} ELSE 0 END"
    return (
        f"INSERT INTO counts ({_KEY}, n, epochs, trained) VALUES ({row}.search_id, {row}.stage, {row}.state, {slot}, "
        f"{sign}1, {sign}{ended.format('epochs')}, {sign}{ended.format('epoch')}) "
        f"ON CONFLICT ({_KEY}) DO UPDATE SET {_ADDED};"
    )


_EACH = "FOR EACH ROW"
_CHANGED = f"AFTER UPDATE OF state ON trials {_EACH} WHEN (OLD.state <> NEW.state)"


def install(connection: Connection) -> None:
    """Make the triggers anew, and count all trials; done after each upgrade, in which SQLite may lose them."""
    uninstall(connection)
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in _sqlite() if is_sqlite else _postgres():
        connection.execute(text(statement))
    connection.execute(text("DELETE FROM counts"))
    connection.execute(text(_ALL))


_TRIGGERS = ("count_trials_insert", "count_trials_change", "count_trials_delete")


def uninstall(connection: Connection) -> None:
    """Remove the triggers."""
    for trigger in _TRIGGERS:
        if connection.dialect.name == "sqlite":
            connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger}"))
        else:
            connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger} ON trials"))
            connection.execute(text(f"DROP FUNCTION IF EXISTS {trigger}()"))


def _sqlite() -> list[str]:
    gone, there = _change("OLD", "-", "0"), _change("NEW", "+", "0")
    events = (f"AFTER INSERT ON trials {_EACH}", _CHANGED, f"AFTER DELETE ON trials {_EACH}")
    bodies = (there, f"{gone} {there}", gone)
    return [
        f"CREATE TRIGGER {name} {event} BEGIN {body} END"
        for name, event, body in zip(_TRIGGERS, events, bodies, strict=True)
    ]


def _postgres() -> list[str]:
    """Write the triggers of Postgres; many rows that come or go at once are counted by one statement."""
    gone, there = _change("OLD", "-", _OWN_SLOT), _change("NEW", "+", _OWN_SLOT)
    events = (
        "AFTER INSERT ON trials REFERENCING NEW TABLE AS changed FOR EACH STATEMENT",
        _CHANGED,
        "AFTER DELETE ON trials REFERENCING OLD TABLE AS changed FOR EACH STATEMENT",
    )
    bodies = (_grouped("changed", "+", _OWN_SLOT), f"{gone} {there}", _grouped("changed", "-", _OWN_SLOT))
    made = []
    for name, event, body in zip(_TRIGGERS, events, bodies, strict=True):
        head = f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        made += [
            f"{head} $$ BEGIN {body} RETURN NULL; END $$",
            f"CREATE TRIGGER {name} {event} EXECUTE FUNCTION {name}()",
        ]
    return made


_OWN_SLOT = "txid_current()"


def _grouped(table: str, sign: str, slot: str) -> str:
    """Write the statement that counts all rows of a table in or out."""
    epochs, trained = (f"sum(CASE WHEN {_IS_ENDED} THEN {column} ELSE 0 END)" for column in ("epochs", "epoch"))
    return (
        f"INSERT INTO counts ({_KEY}, n, epochs, trained) SELECT search_id, stage, state, {slot}, {sign}count(*), "
        f"{sign}{epochs}, {sign}{trained} FROM {table} WHERE true GROUP BY search_id, stage, state "
        f"ON CONFLICT ({_KEY}) DO UPDATE SET {_ADDED};"
    )


_ALL = _grouped("trials", "+", "0")
