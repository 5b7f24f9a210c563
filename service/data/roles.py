"""Check that columns can have the roles that a spec gives them: features, target, time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.dataset import Column, DatasetDescription, Finding
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.features import features_of
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.spec import ColumnRef, Spec

MOST_NOTES = 6
"""Findings that are told when a search is submitted; the data report has them all."""
_SAYS_ITSELF = frozenset(
    {"date_order", "decimal_comma", "thousands", "unit", "same_column", "missing_words", "unpacked"}
)
"""Findings that change nothing for most users, told in the data report alone."""


def factor_columns(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield path in the spec and name of each column that is a factor of a row: its exposure, its weight."""
    for key in ("exposure", "weight"):
        if (name := getattr(spec.data, key)) is not None:
            yield f"data.{key}", name


def split_columns(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield path in the spec and name of each column that determines how rows are split."""
    if isinstance(spec.data.test, ColumnRef):
        yield "data.test.column", spec.data.test.column
    for key in ("column", "group", "time"):
        if (name := getattr(spec.cv, key)) is not None:
            yield f"cv.{key}", name


def name_faults(spec: Spec, targets: list[str], description: DatasetDescription) -> Iterator[Fault]:
    """Find names that are no columns, columns with two roles, and a missing target."""
    known = [column.name for column in description.columns]
    ignored = ((f"data.ignore.{i}", name) for i, name in enumerate(spec.data.ignore))
    others = [*split_columns(spec), *ignored, *factor_columns(spec)]
    if not targets:
        yield Fault(code="missing", path="data.target", expected="the name of the column to predict")
    for path, name in [*(("data.target", target) for target in targets), *others]:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else "the columns are " + ", ".join(known[:20])
            yield Fault(code="unknown_column", path=path, expected="a column of the data", got=name, hint=hint)
        elif name in targets and path != "data.target":
            yield Fault(code="contradiction", path=path, expected="another column than the target", got=name)
    for target in targets:
        if spec.data.types.get(target) == "ignore":
            path, hint = f"data.types.{target}", "leave it out of data.types, or name another target"
            yield Fault(code="contradiction", path=path, expected="a target that is read", got="ignore", hint=hint)
    if targets and set(targets) <= set(known):
        yield from feature_faults(spec, targets, description)


def feature_faults(spec: Spec, targets: Sequence[str], description: DatasetDescription) -> Iterator[Fault]:
    """Find a fault where no column is left to learn from, with the reason for each."""
    data = spec.data.model_copy(update={"target": list(targets)})
    if features_of(description, data, spec.cv):
        return
    reasons = [_why_not(column) for column in description.columns if column.name not in targets and not column.is_used]
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
    description: DatasetDescription, targets: Sequence[str], features: list[str], leaks: Sequence[Finding]
) -> list[str]:
    """Choose the findings that a search's user is told at once: possible leaks, then what concerns its columns.

    Args:
        description: of the data, with its findings.
        targets: the columns to predict.
        features: the columns that networks get as inputs.
        leaks: findings about features that alone predict the target.
    """
    columns = {*targets, *features}
    about = [f for f in description.findings if f.code not in _SAYS_ITSELF and _concerns(f, columns, set(targets))]
    chosen = [*leaks, *sorted(about, key=lambda finding: not finding.is_warning)]
    notes = [sentence_of(finding) for finding in chosen[:MOST_NOTES]]
    n_more = len(description.findings) + len(leaks) - len(notes)
    if n_more > 0:
        notes.append(f"{n_more} more finding{'s' if n_more > 1 else ''} about the data: `foldstep data` shows them.")
    return notes


def _concerns(finding: Finding, columns: set[str], targets: set[str]) -> bool:
    if finding.code == "identifier":
        return not targets & set(finding.columns) and bool(columns & set(finding.columns))
    if finding.code in ("index", "constant", "empty", "rare"):
        return not (finding.columns and set(finding.columns) <= targets)
    return not finding.columns or bool(columns & set(finding.columns))


def sentence_of(finding: Finding) -> str:
    """Write a finding with the way to say otherwise."""
    return finding.sentence if finding.setting is None else f"{finding.sentence} To say otherwise: {finding.setting}."
