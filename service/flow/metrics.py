"""Use case: write all that a master measures in Prometheus' text form."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.db import counts, leases, searches, workers
from foldstep.service.flow.context import Context
from foldstep.service.flow.probes import Silent

_log = logging.getLogger(__name__)


async def metrics_text(context: Context) -> bytes:
    """Write the master's measures, and searches, trials, leases, workers and throughput as the database has them.

    Without the database the measures are there all the same, and `foldstep_database_up` is 0.
    """
    stored = CollectorRegistry()
    stored.register(_Gauges(await _gauges(context)))
    return generate_latest(context.measures.registry) + generate_latest(stored)


class _Gauges(Collector):
    """Gauges that were read already."""

    def __init__(self, gauges: Iterable[GaugeMetricFamily]) -> None:
        self._gauges = list(gauges)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give the gauges."""
        return self._gauges


async def _gauges(context: Context) -> list[GaugeMetricFamily]:
    stored: list[GaugeMetricFamily] = []
    try:
        stored = await context.probes.ask("metrics", partial(_stored, context))
    except (FoldstepError, Silent) as error:
        _log.warning("metrics without the database: %s", error or "it does not answer")
    return [_gauge("foldstep_database_up", "whether the database answers", float(bool(stored))), *stored]


def _stored(context: Context) -> list[GaugeMetricFamily]:
    now = context.now()
    since = now - timedelta(seconds=context.settings.lease_ttl_s)
    with context.database.read() as connection:
        by_state = searches.by_state(connection)
        of_trials = counts.of_all(connection)
        rate = sum(leases.member_steps_per_s(connection, since).values())
        n_leases, n_workers = leases.n_held(connection), workers.n_active(connection, since)
    waiting = float(of_trials.get(TrialState.WAITING, 0))
    return [
        _by_state("foldstep_searches", "searches by state", {s.value: by_state.get(s, 0) for s in SearchState}),
        _by_state("foldstep_trials", "trials by state", {s.value: of_trials.get(s, 0) for s in TrialState}),
        _gauge("foldstep_queue_depth", "trials that wait for a worker", waiting),
        _gauge("foldstep_leases_held", "leases in training", n_leases),
        _gauge("foldstep_workers", "workers seen within a lease time", n_workers),
        _gauge("foldstep_member_steps_per_second", "optimiser steps times members", rate),
    ]


def _by_state(name: str, meaning: str, counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=("state",))
    for state, n in counts.items():
        family.add_metric((state,), n)
    return family


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)
