"""Use case: report on a data set before anything trains."""

from __future__ import annotations

from foldstep.service.contract.dataset import DataReport
from foldstep.service.contract.reading import AS_FOUND
from foldstep.service.contract.spec import DataSpec
from foldstep.service.data.child import report_in_child
from foldstep.service.data.sources import BUNDLED
from foldstep.service.flow import dataset
from foldstep.service.flow.context import Context
from foldstep.service.flow.transfer import canonical_file


def report(context: Context, name: str, target: str | None) -> DataReport:
    """Report on a registered or a bundled data set, and on one of its columns as the target where one is named.

    Raises:
        NotFound: no data set has that name, or it has no such column.
        SpecInvalid: the file of the data set has changed since it was registered.
        DatasetUnreadable: it cannot be read.
    """
    options = AS_FOUND if name in BUNDLED else dataset.get(context, name).description.options
    description = dataset.described(context, DataSpec(dataset=name, **options.model_dump()))
    return report_in_child(description, canonical_file(context, description.fingerprint), target)
