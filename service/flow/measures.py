"""What a master measures of itself while it runs, in its own registry: two masters in a process share nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

_REQUEST_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_WORK_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60)


class Measures:
    """Times and counts since the start of this master.

    Attributes:
        registry: of all of them, and of the process (memory, CPU time, open files).
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self.request_seconds = Histogram(
            "foldstep_request_seconds",
            "time until a request was answered, by route",
            ("method", "route", "status"),
            buckets=_REQUEST_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "foldstep_requests_in_flight", "requests that are being answered", registry=self.registry
        )
        self.planner_seconds = Histogram(
            "foldstep_planner_seconds",
            "time that a method took to propose trials",
            ("method",),
            buckets=_WORK_S,
            registry=self.registry,
        )
        self.sweep_seconds = Histogram(
            "foldstep_sweep_seconds",
            "time that a look for expired leases and searches whose time is up took",
            buckets=_WORK_S,
            registry=self.registry,
        )
        self.leases = Counter(
            "foldstep_leases", "leases of this master, by what became of them", ("event",), registry=self.registry
        )
        for event in ("granted", "released", "expired"):
            self.leases.labels(event)


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe how long the block takes, in seconds, also where it fails."""
    began = time.perf_counter()
    try:
        yield
    finally:
        histogram.observe(time.perf_counter() - began)
