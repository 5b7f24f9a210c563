"""Statements that run hundreds of times a second: compiled once, then handed to the driver as they are.

Of a short statement SQLAlchemy's own execution takes three times as long as SQLite. Here a statement is compiled at its
first use for each database, with the converters of its values and columns; the drivers keep it prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.sql.base import Executable

_Convert = Callable[[Any], Any] | None


class _Compiled(NamedTuple):
    """A statement for one database.

    Attributes:
        given: name, place and converter of each value that an execution gives; the place is one of the question marks
            on SQLite.
        fixed: all values, those that are part of the statement converted, the others None: a list on SQLite.
        types: of the columns of a row.
    """

    sql: str
    is_positional: bool
    given: Sequence[tuple[str, Any, _Convert]]
    fixed: Any
    types: Sequence[Any]


class Prepared:
    """A statement with named values.

    Args:
        statement: without lists of any length (`IN`).
        given: names of the values that every execution gives; others are part of the statement.
        columns: of an INSERT or UPDATE that sets what is given: names of those columns.
    """

    def __init__(self, statement: Executable, given: Sequence[str] = (), columns: Sequence[str] = ()) -> None:
        self._statement, self._given, self._columns = statement, (*given, *columns), columns
        self._compiled: dict[str, _Compiled] = {}
        self._converts: dict[str, Sequence[tuple[int, Callable[[Any], Any]]]] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run the statement, and fetch its rows."""
        if connection.dispatch.before_cursor_execute:  # somebody looks on
            return [tuple(row) for row in connection.execute(self._statement, values)]
        compiled = self._of(connection)
        cursor = self._run(connection, compiled, values)
        found = cursor.fetchall()
        converts = self._of_columns(connection, compiled, cursor)
        return [_converted(row, converts) for row in found] if converts else found

    def first(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Run the statement, and fetch its first row; None if there is none."""
        found = self.rows(connection, values)
        return found[0] if found else None

    def change(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement, and count the rows that it changed."""
        if connection.dispatch.before_cursor_execute:
            return connection.execute(self._statement, values).rowcount
        return self._run(connection, self._of(connection), values).rowcount  # type: ignore[no-any-return]

    def change_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run the statement for each of some values, and count the rows that it changed."""
        if connection.dispatch.before_cursor_execute:
            return connection.execute(self._statement, rows).rowcount
        compiled = self._of(connection)
        bound = [_bound(compiled, values) for values in rows]
        cursor = connection.connection.cursor()
        self._call(connection, compiled, bound, lambda: cursor.executemany(compiled.sql, bound))
        return cursor.rowcount

    def _run(self, connection: Connection, compiled: _Compiled, values: Mapping[str, Any]) -> Any:
        bound = _bound(compiled, values)
        driver: Any = connection.connection.driver_connection
        return self._call(connection, compiled, bound, lambda: driver.execute(compiled.sql, bound))

    def _call(self, connection: Connection, compiled: _Compiled, bound: Any, call: Callable[[], Any]) -> Any:
        """Call the driver; its errors become SQLAlchemy's, which also drops a connection that is broken."""
        try:
            return call()
        except connection.dialect.loaded_dbapi.Error as error:
            connection._handle_dbapi_exception(error, compiled.sql, bound, None, None)

    def _of(self, connection: Connection) -> _Compiled:
        name = connection.dialect.name
        compiled = self._compiled.get(name)
        if compiled is None:
            compiled = self._compiled[name] = self._compile(connection)
        return compiled

    def _of_columns(
        self, connection: Connection, compiled: _Compiled, cursor: Any
    ) -> Sequence[tuple[int, Callable[[Any], Any]]]:
        """Find the columns that are converted, and how; some depend on the type that the database says they have."""
        found = self._converts.get(connection.dialect.name)
        if found is None:
            columns = enumerate(zip(compiled.types, cursor.description or (), strict=False))
            converts = [(i, kind._cached_result_processor(connection.dialect, said[1])) for i, (kind, said) in columns]
            found = self._converts[connection.dialect.name] = [(i, c) for i, c in converts if c is not None]
        return found

    def _compile(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        compiled: Any = self._statement.compile(  # type: ignore[attr-defined]
            dialect=dialect, **({"column_keys": list(self._columns)} if self._columns else {})
        )
        assert not compiled.post_compile_params, f"expected no list in the statement, however: {compiled}"
        names = tuple(compiled.positiontup or compiled.params)
        converts = {name: compiled._bind_processors.get(name) for name in compiled.params}
        fixed = {
            name: None if name in self._given else value if (convert := converts[name]) is None else convert(value)
            for name, value in compiled.params.items()
        }
        is_positional = bool(compiled.positional)
        return _Compiled(
            sql=compiled.string,
            is_positional=is_positional,
            given=[(n, i if is_positional else n, converts[n]) for i, n in enumerate(names) if n in self._given],
            fixed=[fixed[name] for name in names] if is_positional else fixed,
            types=[column.type for column in compiled._result_columns],
        )


def _converted(row: Sequence[Any], converts: Sequence[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    values = list(row)
    for i, convert in converts:
        values[i] = convert(values[i])
    return tuple(values)


def _bound(compiled: _Compiled, values: Mapping[str, Any]) -> Any:
    """Convert the values as the driver wants them."""
    found = compiled.fixed.copy()
    for name, place, convert in compiled.given:
        value = values[name]
        found[place] = value if convert is None else convert(value)
    return found
