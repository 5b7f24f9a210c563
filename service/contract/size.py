"""The size of the greatest network of a space, estimated before any is trained: one that no device holds is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

import numpy as np

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.kinds import Value
from foldstep.models.columns import N_SPECIAL, InputColumns
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.input_stage import stage_of
from foldstep.service.contract.dataset import Column
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.features import MAX_CATEGORIES
from foldstep.service.contract.reach import combinations
from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, Params, Space

COPIES = 7
"""Numbers stored for each weight: itself, gradient, two moments, update, best weight, weight before a probed step."""
_FLOAT_BYTES = 4
_PASSES = 2  # numbers for each value of a row: itself and its gradient
_LAYERS = ("hidden", "width", "depth", "units")
_OF_NUMBERS = ("embedding_size", "embedding_frequencies", "embedding_bins", "embedding_shared", "number_embedding")
_OF_CATEGORIES = ("category_embedding_size", "max_one_hot")
_OF_SIZE = {*_LAYERS, *_OF_NUMBERS, *_OF_CATEGORIES, "embedding_min_values", "batch_size"}
_LOOKED_AT = 200
_INPUTS = (1, 16, 256, 4_096, 65_536)
_ELSEWHERE = "set FOLDSTEP_NETWORK_BYTES where the workers have more memory"


@dataclass(frozen=True)
class NetworkSizes:
    """What the sizes of a search's networks depend on, beside their hyperparameters.

    Attributes:
        features: the columns that networks get as inputs.
        n_outputs: output units.
        n_rows: rows of the data.
    """

    features: Sequence[Column]
    n_outputs: int
    n_rows: int

    def faults(self, space: Space, most_bytes: int) -> Iterator[Fault]:
        """Find a network of a space that takes more memory in training than `most_bytes`.

        First the greatest sizes of the space are taken together, whatever their conditions: nearly always that fits.
        Else, without conditions, they are what is told; with conditions the combinations are looked at, of very many
        the first hundreds.
        """
        names = [name for name in space.parameters if (row := lookup(name)) is not None and row.name in _OF_SIZE]
        too_large = [params for params in self._greatest(space, names) if self.bytes_of(resolve(params)) > most_bytes]
        if not too_large:
            return
        if any(space.parameters[name].when for name in names):
            too_large = list(islice(combinations(space, names), _LOOKED_AT))
        for params in too_large:
            if (needed := self.bytes_of(resolve(params))) > most_bytes:
                yield self._fault(params, needed, most_bytes)
                return

    def _greatest(self, space: Space, names: Sequence[str]) -> Iterator[Params]:
        """List combinations of which one is at least as large as any network of the space."""
        values = {name: list(_greatest_values(space.parameters[name], name)) for name in names}
        if "hidden" in values:
            values["hidden"] = self._greatest_layers(values["hidden"])
        for drawn in product(*values.values()):
            yield dict(zip(values, drawn, strict=True))

    def _greatest_layers(self, choices: Sequence[Value]) -> list[Value]:
        """Find the lists of layers with the most weights for few inputs and for many: narrow ones may be deep."""
        networks = [(resolve({"hidden": widths}), widths) for widths in choices]
        greatest = [max(networks, key=lambda of: of[0].n_parameters(n, self.n_outputs))[1] for n in _INPUTS]
        return [widths for i, widths in enumerate(greatest) if widths not in greatest[:i]]

    def bytes_of(self, hp: Hyperparameters) -> int:
        """Estimate the memory of one network in training, in bytes; all rows count as those of its training part."""
        columns = self._columns(hp)
        stage = stage_of(hp, columns, np.zeros((1, columns.n_inputs), dtype=np.float32))
        n_first = columns.n_inputs if stage is None else stage.n_units
        n_weights = hp.n_parameters(n_first, self.n_outputs) + (0 if stage is None else stage.n_parameters)
        n_values = n_first + sum(hp.hidden) + (0 if stage is None else stage.values_per_row)
        return _FLOAT_BYTES * (COPIES * n_weights + _PASSES * min(hp.batch_size, self.n_rows) * n_values)

    def _columns(self, hp: Hyperparameters) -> InputColumns:
        counts = [column.n_distinct for column in self.features if column.kind == "category"]
        others = [column for column in self.features if column.kind != "category"]
        n_values: list[int] = []
        for column in others:  # a date is several numbers
            n_values += [column.n_distinct] * max((column.n_inputs or 1) - (column.n_missing > 0), 1)
        return InputColumns(
            n_values=tuple(n_values),
            flags=(0,) * sum(column.n_missing > 0 for column in others),
            one_hot=tuple(min(n, MAX_CATEGORIES) + 1 for n in counts if not hp.max_one_hot or n <= hp.max_one_hot),
            codes=tuple(N_SPECIAL + n for n in counts if 0 < hp.max_one_hot < n),
        )

    def _fault(self, params: Params, needed: int, most_bytes: int) -> Fault:
        asked, hint = self._cause(resolve(params), most_bytes)
        rows = {name: lookup(name) for name in params}
        given = [name for what in asked for name, row in rows.items() if row is not None and row.name == what]
        return Fault(
            code="too_large",
            path=f"parameters.{given[0] if given else asked[0]}",
            expected=f"networks that train in at most {most_bytes >> 20:,} MiB of memory",
            got=", ".join([f"about {needed >> 20:,} MiB", *(f"{name} {params[name]}" for name in given)]),
            hint=f"{hint}; or {_ELSEWHERE}",
        )

    def _cause(self, hp: Hyperparameters, most_bytes: int) -> tuple[tuple[str, ...], str]:
        """Find what makes a network too large: the hyperparameters that decide it, and a way out."""
        for smaller, asked, hint in (
            (replace(hp, number_embedding="none"), _OF_NUMBERS, "take smaller embeddings, or embedding_shared: all"),
            (replace(hp, batch_size=1), ("batch_size",), "take a smaller batch_size"),
            (replace(hp, max_one_hot=0), _OF_CATEGORIES, "take smaller embeddings, or ignore columns of many texts"),
        ):
            if self.bytes_of(smaller) <= most_bytes:
                return asked, hint
        return _LAYERS, "take narrower layers"


def _greatest_values(distribution: Distribution, name: str) -> Sequence[Value]:
    """List the values of a distribution among which the one is that makes networks largest."""
    if isinstance(distribution, Fixed):
        return [distribution.value]
    if isinstance(distribution, Either):
        numbers = [*distribution.extra, distribution.range.low, distribution.range.high]
    elif isinstance(distribution, Choices):
        numbers = distribution.choices
    else:
        numbers = [distribution.low, distribution.high]
    least_first = sorted(value for value in numbers if isinstance(value, int | float))
    if len(least_first) < len(numbers):
        return numbers
    if name == "max_one_hot":  # 0 stands for one-hot columns of any size
        return [least_first[0], least_first[-1]]
    return [least_first[0 if name == "embedding_min_values" else -1]]
