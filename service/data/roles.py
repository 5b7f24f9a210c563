"""Check that columns can have the roles that a spec gives them: features, target, time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.dataset import Column, DatasetDescription, Finding
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.features import features_of
from foldstep.service.contract.spec import Spec

MOST_NOTES = 6
"""Findings that are told when a search is submitted; the data report has them all."""
_SAYS_ITSELF = frozenset(
    {"date_order", "decimal_comma", "thousands", "unit", "same_column", "missing_words", "unpacked"}
)
"""Findings that change nothing for most users, told in the data report alone."""


def feature_faults(spec: Spec, target: str, description: DatasetDescription) -> Iterator[Fault]:
    """Find a fault where no column is left to learn from, with the reason for each."""
    data = spec.data.model_copy(update={"target": target})
    if features_of(description, data, spec.cv):
        return
    reasons = [_why_not(column) for column in description.columns if column.name != target and not column.is_used]
    got = "none" + (f": {'; '.join(reasons[:5])}" if reasons else "")
    yield Fault(code="no_features", path="data", expected="a column left to learn from", got=got,
                hint="add a column, or say otherwise with data.types")  # fmt: skip


def _why_not(column: Column) -> str:
    return f"{column.name} is {column.fate} ({column.why})"


def missing_hint(description: DatasetDescription, target: str) -> str:
    """Say what to do about rows without a target: keep a word as a class, mend cells, or remove the rows."""
    words = _finding(description, "missing_words", target)
    if words is not None:
        return f"{words.sentence.rstrip('.').removeprefix(f'{target}: ')}; {words.setting} keeps it as a class"
    unfit = _finding(description, "unfit_cells", target)
    if unfit is not None:
        keep = f"data.types: {{{target}: category}} keeps them as classes"
        return f"{unfit.sentence.rstrip('.')}; mend those cells, or {keep}"
    return "remove those rows"


def _finding(description: DatasetDescription, code: str, column: str) -> Finding | None:
    return next((f for f in description.findings if f.code == code and column in f.columns), None)


def time_faults(
    name: str | None, columns: Mapping[str, ColumnValues], description: DatasetDescription
) -> Iterator[Fault]:
    """Find faults of a column that rows are ordered by: text, or dates whose order is open.

    Args:
        name: the column; None where rows are not ordered.
        columns: at least that column.
        description: of the data.
    """
    if name is None:
        return
    values = columns[name]
    if isinstance(values, CategoryColumn):
        examples = ", ".join(map(repr, values.labels[:3]))
        hint = f"write it as dates or numbers, or say data.types: {{{name}: date}} with data.dates"
        yield Fault(code="no_time", path="cv.time", expected="a column of dates or numbers", got=f"text ({examples})",
                    hint=hint)  # fmt: skip
    elif (finding := _finding(description, "open_dates", name)) is not None:
        hint = "set data.dates: day_first or month_first"
        yield Fault(code="open_dates", path="cv.time", expected="dates whose order of day and month is known",
                    got=finding.sentence.rstrip("."), hint=hint)  # fmt: skip


def data_notes(
    description: DatasetDescription, target: str, features: list[str], leaks: Sequence[Finding]
) -> list[str]:
    """Choose the findings that a search's user is told at once: possible leaks, then what concerns its columns.

    Args:
        description: of the data, with its findings.
        target: the column to predict.
        features: the columns that networks get as inputs.
        leaks: findings about features that alone predict the target.
    """
    columns = {target, *features}
    about = [f for f in description.findings if f.code not in _SAYS_ITSELF and _concerns(f, columns, target)]
    chosen = [*leaks, *sorted(about, key=lambda finding: not finding.is_warning)]
    notes = [sentence_of(finding) for finding in chosen[:MOST_NOTES]]
    n_more = len(description.findings) + len(leaks) - len(notes)
    if n_more > 0:
        notes.append(f"{n_more} more finding{'s' if n_more > 1 else ''} about the data: `foldstep data` shows them.")
    return notes


def _concerns(finding: Finding, columns: set[str], target: str) -> bool:
    if finding.code == "identifier":
        return target not in finding.columns and bool(columns & set(finding.columns))
    if finding.code in ("index", "constant", "empty", "rare"):
        return set(finding.columns) != {target}
    return not finding.columns or bool(columns & set(finding.columns))


def sentence_of(finding: Finding) -> str:
    """Write a finding with the way to say otherwise."""
    return finding.sentence if finding.setting is None else f"{finding.sentence} To say otherwise: {finding.setting}."
