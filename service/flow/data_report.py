"""Use cases: report on a data set before anything trains, and on the data of a search."""

from __future__ import annotations

from collections.abc import Sequence

from foldstep.service.contract.dataset import DataReport, DatasetDescription
from foldstep.service.contract.errors import Conflict, InvalidInput
from foldstep.service.contract.reading import AS_FOUND
from foldstep.service.contract.spec import DataSpec
from foldstep.service.data.allowance import limits_for
from foldstep.service.data.child import report_in_child
from foldstep.service.data.sources import BUNDLED
from foldstep.service.db import searches
from foldstep.service.flow import dataset
from foldstep.service.flow.context import Context
from foldstep.service.flow.transfer import canonical_file


def report(context: Context, name: str, targets: Sequence[str]) -> DataReport:
    """Report on a registered or a bundled data set, and on those of its columns that are named as targets.

    Raises:
        NotFound: no data set has that name, or it has no such column.
        InvalidInput: a column is named twice.
        SpecInvalid: the file of the data set has changed since it was registered.
        DatasetUnreadable: it cannot be read.
    """
    options = AS_FOUND if name in BUNDLED else dataset.get(context, name).description.options
    description = dataset.described(context, DataSpec(dataset=name, **options.model_dump()))
    return _report(context, description, targets)


def of_search(context: Context, search_id: str) -> DataReport:
    """Report on the data that a search trains on, with its target.

    Raises:
        NotFound: there is no such search.
        Conflict: what its spec names are other data by now, or gone.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
    try:
        description = dataset.described(context, search.spec.data)
    except InvalidInput as error:
        raise _no_report(search_id) from error
    if description.fingerprint != search.problem.fingerprint:
        raise _no_report(search_id)
    return _report(context, description, search.problem.data.targets)


def _report(context: Context, description: DatasetDescription, targets: Sequence[str]) -> DataReport:
    file = canonical_file(context, description.fingerprint)
    return report_in_child(description, file, targets, limits=limits_for(context.settings, file))


def _no_report(search_id: str) -> Conflict:
    return Conflict(
        f"What the spec of {search_id} names are other data by now, or gone: there is no report on its own."
    )
