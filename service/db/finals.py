"""The rows of `finals`: one for each final model of a search, in their order."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from foldstep.service.contract.final import FinalModel
from foldstep.service.db.tables import finals


class NumberTaken(Exception):
    """Another final model of the search was stored in the meantime."""


def last(connection: Connection, search_id: str) -> FinalModel | None:
    """Read the last final model of a search; None before the first."""
    of_search = select(finals.c.record).where(finals.c.search_id == search_id)
    record = connection.execute(of_search.order_by(finals.c.number.desc()).limit(1)).scalar()
    return None if record is None else FinalModel.model_validate_json(record)


def add(connection: Connection, model: FinalModel) -> None:
    """Insert a final model.

    Raises:
        NumberTaken: there is one with its number.
    """
    values = {"search_id": model.search, "number": model.number, "record": model.model_dump_json()}
    try:
        connection.execute(insert(finals), values)
    except IntegrityError as error:
        raise NumberTaken from error
