"""Runs the analysis in a child process: scikit-learn never lives in the master."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from service.contract.errors import Unavailable
from service.contract.insight import ImportanceReport
from service.contract.space import Space
from service.contract.spec import MetricSpec
from service.contract.trial import TrialRecord

TIMEOUT_S = 300.0


def report_in_child(
    search: str, metric: MetricSpec, stage: int, space: Space, records: Sequence[TrialRecord]
) -> ImportanceReport:
    """`report.importance_report` in a process of its own.

    Raises:
        Unavailable: the child died or took too long.
    """
    request = {
        "search": search,
        "metric": metric.model_dump(mode="json"),
        "stage": stage,
        "space": space.model_dump(mode="json"),
        "records": [record.model_dump(mode="json") for record in records],
    }
    # -P: a folder named service where the master was started is none
    command = [sys.executable, "-P", "-m", "service.analysis"]
    try:
        child = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"The analysis took longer than {TIMEOUT_S:g} s; try again on a quieter machine.") from None
    if child.returncode != 0:
        last_line = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unavailable(f"The analysis ended early ({last_line or child.returncode}); is there enough memory?")
    return ImportanceReport.model_validate_json(child.stdout)
