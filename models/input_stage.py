"""The input stage of a network, in front of its first layer: what it makes of the inputs, without any numbers.

It may fill in a trained value where one is missing, embed numeric columns, and multiply every value that the first
layer reads by a trained factor. With x the number of a column, each embedding is a linear map of features of x:

- periodic: of cos(2 pi w x) and sin(2 pi w x) for trained frequencies w (Gorishniy et al. 2022, arXiv 2203.05556,
  section 3.3, "PL"); plr: the same, then relu ("PLR")
- pbld: of cos(2 pi w x + b) with trained phases b, and x itself as the last value (Holzmueller et al. 2024, arXiv
  2407.04491, section 3, "PBLD")
- piecewise: of the piecewise linear encoding by quantiles of the training part (arXiv 2203.05556, equation 1), and of
  x; the weights of the encoding begin at 0, so that the embedding begins as a linear one (Gorishniy et al. 2024, arXiv
  2410.24210, as version B of `rtdl_num_embeddings`)

A column of codes, each a category, has a trained embedding of every code; that of an unknown category is 0 at first.

What it hands to the first layer, in this order: `size` values of each embedded number, the embeddings of the codes,
then the other inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.columns import UNKNOWN, InputColumns
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.streams import stage_generator

Matrix = npt.NDArray[np.float64]

CONSTANTS = ("edge", "inverse_width")
"""Parts of a stage that training does not change."""


@dataclass(frozen=True)
class InputStage:
    """The input stage of one network.

    Attributes:
        n_inputs: inputs that it reads, the columns of the fold's matrix.
        kind: the hyperparameter `number_embedding`.
        embedded: the inputs that are embedded, ascending.
        size: values of each embedded column.
        frequencies: trained frequencies of each embedded column.
        bins: bins of each embedded column; a column with few different values uses fewer.
        is_shared: whether all columns share one linear map.
        is_scaled: whether every value has a trained factor.
        codes: for each column of codes its input, its number of codes, and the values of their embeddings.
        missing: pairs of an input that says where a value is missing, and the input of that value.
        sigma: standard deviation of the initial frequencies.
        edges: of each embedded column the edges of its bins, ascending, at most `bins` + 1.
    """

    n_inputs: int
    kind: str = "none"
    embedded: tuple[int, ...] = ()
    size: int = 0
    frequencies: int = 0
    bins: int = 0
    is_shared: bool = False
    is_scaled: bool = False
    codes: tuple[tuple[int, int, int], ...] = ()
    missing: tuple[tuple[int, int], ...] = ()
    sigma: float = field(default=0.0, compare=False)
    edges: tuple[tuple[float, ...], ...] = field(default=(), compare=False)

    @property
    def order(self) -> tuple[object, ...]:
        """What sorts members so that those with an equal stage are adjacent."""
        return tuple(value for name, value in vars(self).items() if name not in ("sigma", "edges"))

    @property
    def kept(self) -> tuple[int, ...]:
        """The inputs that the first layer reads as they are."""
        return tuple(sorted(set(range(self.n_inputs)) - {*self.embedded, *(at for at, _, _ in self.codes)}))

    @property
    def n_units(self) -> int:
        """Values that the first layer reads."""
        return self.kept_from + len(self.kept)

    @property
    def kept_from(self) -> int:
        """The first of the values that are inputs as they are."""
        return len(self.embedded) * self.size + sum(width for _, _, width in self.codes)

    @property
    def n_linear(self) -> int:
        """Values of each embedded column that the linear map makes; in pbld the last one is the number itself."""
        return self.size - 1 if self.kind == "pbld" else self.size

    @property
    def n_features(self) -> int:
        """Features of each embedded column that the linear map reads."""
        return {"pbld": self.frequencies, "piecewise": self.bins + 1}.get(self.kind, 2 * self.frequencies)

    @property
    def n_maps(self) -> int:
        """Linear maps."""
        return min(len(self.embedded), 1) if self.is_shared else len(self.embedded)

    @property
    def shapes(self) -> Mapping[str, tuple[int, int]]:
        """By name, the shape of each part of one member; (n, 1) for a vector."""
        n = len(self.embedded)
        shapes = {
            "frequency": (n, self.frequencies),
            "phase": (n, self.frequencies if self.kind == "pbld" else 0),
            "linear": (self.n_maps * self.n_linear, self.n_features),
            "linear_bias": (self.n_maps * self.n_linear, 1),
            "edge": (n, self.bins),
            "inverse_width": (n, self.bins),
            "category": (sum(n * width for _, n, width in self.codes), 1),
            "missing": (len(self.missing), 1),
            "input_scale": (self.n_units if self.is_scaled else 0, 1),
        }
        return {name: shape for name, shape in shapes.items() if shape[0] * shape[1]}

    @property
    def n_parameters(self) -> int:
        """Trained numbers."""
        return sum(rows * columns for name, (rows, columns) in self.shapes.items() if name not in CONSTANTS)

    @property
    def values_per_row(self) -> int:
        """Numbers that a pass computes for each row of a batch."""
        return len(self.embedded) * (2 * self.n_features + self.n_linear) + self.n_units

    def initial(self, seed: int) -> dict[str, Matrix]:
        """Draw the initial numbers of each part, without padding; vectors as (n,).

        Frequencies and phases as Holzmueller et al. (2407.04491, appendix A); linear maps as PyTorch's `nn.Linear`.
        """
        draws = {name: stage_generator(seed, name, *shape) for name, shape in self.shapes.items()}
        values = {name: self._draw(name, shape, draws[name]) for name, shape in self.shapes.items()}
        return {name: v[:, 0] if self.shapes[name][1] == 1 and name in VECTORS else v for name, v in values.items()}

    def _draw(self, name: str, shape: tuple[int, int], generator: np.random.Generator) -> Matrix:
        if name == "frequency":
            return self.sigma * generator.standard_normal(shape)
        if name == "phase":
            return generator.uniform(-math.pi, math.pi, shape)
        if name in ("linear", "linear_bias"):
            return self._draw_linear(name, shape, generator)
        if name == "category":
            return self._draw_categories(generator)
        if name in CONSTANTS:
            return self._bins()[name]
        return np.full(shape, 1.0 if name == "input_scale" else 0.0)

    def _draw_linear(self, name: str, shape: tuple[int, int], generator: np.random.Generator) -> Matrix:
        is_piecewise = self.kind == "piecewise"
        bound = 1 / math.sqrt(self.size if is_piecewise else self.n_features)
        values = generator.uniform(-bound, bound, shape)
        if is_piecewise and name == "linear":
            values[:, :-1] = 0
        return values

    def _draw_categories(self, generator: np.random.Generator) -> Matrix:
        tables = [generator.standard_normal((n, width)) / math.sqrt(width) for _, n, width in self.codes]
        for table in tables:
            table[UNKNOWN] = 0
        return np.concatenate([table.ravel() for table in tables])[:, None]

    def _bins(self) -> dict[str, Matrix]:
        """List the left edge and 1 / width of every bin, (columns, bins); 0 for a bin that a column does not have."""
        shape = self.shapes["edge"]
        left, inverse = np.zeros(shape), np.zeros(shape)
        for j, edges in enumerate(self.edges):
            n = len(edges) - 1
            left[j, :n] = edges[:-1]
            inverse[j, :n] = 1 / np.diff(edges)
        return {"edge": left, "inverse_width": inverse}

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; what only the initial numbers depend on is left out."""
        return {name: value for name, value in asdict(self).items() if name not in ("sigma", "edges")}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> InputStage:
        """Read what `to_json` wrote."""
        pairs = {name: tuple(tuple(entry) for entry in raw[name]) for name in ("missing", "codes") if name in raw}
        return cls(**{**raw, "embedded": tuple(raw["embedded"]), **pairs})


VECTORS = ("linear_bias", "category", "missing", "input_scale")
"""Parts that are vectors."""


def stage_of(hp: Hyperparameters, columns: InputColumns, x_train: npt.NDArray[np.float32]) -> InputStage | None:
    """Describe the input stage of a network; None if nothing is between the inputs and its first layer.

    Args:
        hp: its hyperparameters.
        columns: what the columns of the matrix hold.
        x_train: the training part, (rows, inputs).
    """
    kind, embedded = hp.number_embedding, _embedded(hp, columns)
    kind = kind if embedded else "none"
    is_trained = hp.missing_value == "trained"
    pairs = tuple((columns.n_numbers + i, number) for i, number in enumerate(columns.flags))
    missing = pairs if is_trained else ()
    codes = tuple((columns.first_code + i, n, category_width(hp, n)) for i, n in enumerate(columns.codes))
    if kind == "none" and not missing and not codes and hp.input_scale == "none":
        return None
    is_periodic = kind in ("periodic", "plr", "pbld")
    bins = hp.embedding_bins if kind == "piecewise" else 0
    return InputStage(
        n_inputs=x_train.shape[1],
        kind=kind,
        embedded=embedded,
        size=hp.embedding_size if embedded else 0,
        frequencies=hp.embedding_frequencies if is_periodic else 0,
        bins=bins,
        is_shared=bool(embedded) and hp.embedding_shared == "all",
        is_scaled=hp.input_scale == "trained",
        codes=codes,
        missing=missing,
        sigma=hp.embedding_sigma,
        edges=tuple(quantile_edges(x_train[:, j], bins) for j in embedded) if bins else (),
    )


def category_width(hp: Hyperparameters, n_codes: int) -> int:
    """Find the number of values that stand for a category; the rule is fastai's (Howard and Gugger 2020)."""
    return hp.category_embedding_size or min(600, round(1.6 * n_codes**0.56))


def _embedded(hp: Hyperparameters, columns: InputColumns) -> tuple[int, ...]:
    """List the numeric columns that are embedded: those with enough different values."""
    if hp.number_embedding == "none":
        return ()
    return tuple(j for j, n in enumerate(columns.n_values) if n >= hp.embedding_min_values)


def quantile_edges(values: npt.NDArray[np.float32], bins: int) -> tuple[float, ...]:
    """Find the edges of at most `bins` bins of equal shares of the values, (rows,): their quantiles, each once.

    Gorishniy et al. (2203.05556, section 3.2.1).
    """
    found = np.unique(np.quantile(values.astype(np.float64), np.linspace(0, 1, bins + 1)))
    return tuple(found.tolist())
