"""Use case: check a search before its first trial; if the checks fail it is not trained, unless `force` is set."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.contract.states import LeaseState, SearchEvent
from foldstep.service.db import leases, searches
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.blame import blame_limit
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import Ending, end
from foldstep.service.flow.grant import Grant, checking, new_token


def grant_checks(
    connection: Connection, context: Context, search: SearchRow, request: LeaseRequest, now: datetime
) -> Lease | None:
    """Grant the lease for the checks of a locked search; None while another worker holds it."""
    if leases.n_checks(connection, search.id, LeaseState.HELD):
        return None
    token, expires_at = new_token(request.key), context.lease_end(now)
    lease_id = leases.grant(
        connection,
        request,
        token=token,
        search_id=search.id,
        expires_at=expires_at,
        now=now,
        purpose="check",
    )
    return checking(search, Grant(lease_id, token, expires_at))


def take_report(connection: Connection, search: SearchRow, report: CheckReport, now: datetime) -> SearchRow:
    """Store the first report of the checks of a locked search; failed checks end it, unless `force` is set."""
    if search.is_over or not search.awaits_checks:
        return search
    searches.set_checks(connection, search.id, report)
    if not report.passed and search.spec.checks.force:
        searches.add_notes(connection, search, [f"The search continues in spite of failed checks: {_found(report)}"])
    elif not report.passed:
        failure = f"The checks before the search failed. {_found(report)} {_HOW}"
        end(connection, search, Ending(SearchEvent.FAIL, failure=failure), now)
    return searches.get(connection, search.id)


_HOW = "Submitted with --force (checks: {force: true}) it continues all the same."


def _found(report: CheckReport) -> str:
    return " ".join(f"{r.name}: {r.sentence} {r.look_at or ''}".rstrip() for r in report.failed)


def give_up(connection: Connection, search: SearchRow, max_attempts: int, now: datetime) -> SearchRow:
    """End a locked search if the workers that checked it died too often; see `flow/blame.py`."""
    if search.is_over or not search.awaits_checks:
        return search
    blame, seen = leases.blame_of_checks(connection, search.id)
    if blame < blame_limit(max_attempts):
        return search
    failure = f"given up: no attempt to check it came to its end; the last time {seen}"
    end(connection, search, Ending(SearchEvent.FAIL, failure=failure), now)
    return searches.get(connection, search.id)
