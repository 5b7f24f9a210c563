"""Use case: write gauges for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.db import leases, searches, trials, workers
from foldstep.service.flow.context import Context


def metrics_text(context: Context) -> str:
    """Write searches and trials by state, leases, workers and throughput in Prometheus' text form."""
    now = context.now()
    since = now - timedelta(seconds=context.settings.lease_ttl_s)
    with context.database.read() as connection:
        by_state = searches.counts(connection)
        of_trials = trials.all_counts(connection)
        rate = sum(leases.member_steps_per_s(connection, since).values())
        n_leases, n_workers = leases.n_held(connection), workers.n_active(connection, since)
    lines = [
        *_by_state("foldstep_searches", "searches by state", {s.value: by_state.get(s, 0) for s in SearchState}),
        *_by_state("foldstep_trials", "trials by state", {s.value: of_trials.get(s, 0) for s in TrialState}),
        *_gauge("foldstep_leases_held", "leases in training", n_leases),
        *_gauge("foldstep_workers", "workers seen within a lease time", n_workers),
        *_gauge("foldstep_member_steps_per_second", "optimiser steps times members", rate),
    ]
    return "\n".join(lines) + "\n"


def _by_state(name: str, meaning: str, counts: Mapping[str, int]) -> list[str]:
    head = [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
    return head + [f'{name}{{state="{state}"}} {n}' for state, n in counts.items()]


def _gauge(name: str, meaning: str, value: float) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", f"{name} {value:g}"]
