"""The interface between Python and the C++ library, declared once: the C++ header is generated from this module.

Enumerations are numbered by the tables of `models.catalog`, structures are declared below. The header is written
whenever the library is built. Its text is part of the hash in a library's file name, and when a library is loaded, the
sizes and field offsets of its structures are compared with Python's, so both sides always agree.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from ctypes import POINTER, c_double, c_int64, c_void_p
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any, NamedTuple

from foldstep.models.catalog.activations import ACTIVATIONS, LEAK, SELU_ALPHA, SELU_SCALE
from foldstep.models.catalog.hyperparameters import NUMBER_EMBEDDINGS
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.norms import EPSILON, NORMS
from foldstep.models.catalog.optimizers import families_of
from foldstep.models.catalog.parts import PARTS as PART_ROWS
from foldstep.models.catalog.units import UNITS
from foldstep.models.updates import (
    LEAST_NORM,
    NEWTON_SCHULZ,
    NEWTON_SCHULZ_STEPS,
    NOISE_FADING,
    NOISE_ROW,
    PartFactors,
    UpdateNumbers,
)

STACKS = ("parameters", "gradients", "first", "second", "average", "best", "initial")
"""The stacks, in the order of a layer's pointers to them."""
PARTS = {
    "weight": "weights", "bias": "biases", "scale": "scales", "shift": "shifts", "share": "shares",
    "second_weight": "second_weights", "second_bias": "second_biases",
    "running_mean": "means", "running_var": "variances",
}  # fmt: skip
"""By a part's name in `models.stack`, the field of `Layer` that points to it, in the order of the fields."""
STAGE_PARTS = (
    "frequency", "phase", "linear", "linear_bias", "category", "missing", "input_scale", "edge", "inverse_width",
)  # fmt: skip
"""The parts of an input stage, in the order of the fields of `Stage`."""
FACTORS = {name: f"{name}_factors" for name in PARTS if PART_ROWS[name].is_trained}
"""By a trained part's name, the field of `Layer` with its factors."""
COLUMNS = 16
"""The number of columns of a batch is a multiple of this."""
TILE_TERMS = 32
"""The number of terms of a product in bf16 is filled up to a multiple of this."""


class Status(IntEnum):
    """The status that a call of the library returns."""

    OK = 0
    NO_MEMORY = 1
    UNKNOWN_NAME = 2
    FAILED = 3


ENUMERATIONS: Mapping[str, Sequence[str]] = {
    "Activation": [name for name, activation in ACTIVATIONS.items() if "compiled" in activation.backends],
    "Embedding": NUMBER_EMBEDDINGS,
    "Loss": [name for name, loss in LOSSES.items() if "compiled" in loss.backends],
    "Norm": list(NORMS),
    "Rule": families_of("compiled"),
    "Units": [name for name, units in UNITS.items() if "compiled" in units.backends],
    "Score": ["none", *dict.fromkeys(metric.mean_of for metric in METRICS.values() if metric.mean_of)],
}
"""The names of the enumerations in C++, in the order of their numbers."""
_CONSTANTS = {
    "LEAK_SLOPE": LEAK,
    "SELU_SCALE": SELU_SCALE,
    "SELU_SLOPE": SELU_SCALE * SELU_ALPHA,
    "NORM_EPSILON": EPSILON,
    **{f"NEWTON_SCHULZ_{name}": value for name, value in zip("ABC", NEWTON_SCHULZ, strict=True)},
    "LEAST_NORM": LEAST_NORM,
    "NOISE_FADING": NOISE_FADING,
}


def number_of(enumeration: str, name: str) -> int:
    """Find the number of a name in an enumeration of C++.

    Raises:
        KeyError: the enumeration does not have the name.
    """
    try:
        return ENUMERATIONS[enumeration].index(name)
    except ValueError:
        raise KeyError(f"the compiled backend has no {enumeration.lower()} {name}") from None


class Field(NamedTuple):
    """One field of a structure: its name, its type in C++, and its meaning."""

    name: str
    type: str
    meaning: str = ""


@dataclass(frozen=True)
class Structure:
    """One structure of C++.

    Attributes:
        is_template: whether it is a template of T, float or double; Python needs one structure for both, as T is only
            used behind pointers.
    """

    name: str
    fields: Sequence[Field]
    is_template: bool = True


_NOISE = "noise below this drops a unit; 0 for no dropout"
STRUCTURES = (
    Structure(
        "Dropout",
        [Field("below", "int64_t", _NOISE), Field("scale", "double", "of kept units"), Field("rate", "double")],
        False,
    ),
    Structure(
        "Factors",  # of one part of a layer
        [*(Field(name, "double") for name in PartFactors._fields), Field("kind", "int64_t", "of the keys of noise")],
        False,
    ),
    Structure(
        "Layer",
        [
            Field("inputs", "int64_t", "without padding"),
            Field("units", "int64_t", "without padding"),
            Field("row", "int64_t", "numbers from one row of the weights to the next"),
            Field("gain", "double", "factor on the weights"),
            Field("kind", "Units", "of hidden layers, as what follows"),
            Field("activation", "Activation"),
            Field("norm", "Norm"),
            Field("norm_momentum", "double", "weight of a batch in the running statistics"),
            Field("skips", "int64_t", "whether the layer adds its input to its output"),
            Field("dropout", "Dropout"),
            *(
                Field(name, "T *[STACKS]", "(units, row)" if PART_ROWS[part].is_matrix else "(units,), or null")
                for part, name in PARTS.items()
            ),
            *(Field(name, "Factors") for name in FACTORS.values()),
        ],
    ),
    Structure(
        "LossNumbers",
        [
            Field("name", "Loss"),
            Field("number", "double", "that the formula depends on: huber_delta, focal_gamma or tweedie_power"),
            Field("smoothing", "double", "of labels"),
            Field("class_weights", "const double *", "(classes,), or null"),
            Field("spread", "const double *", "(classes,) their shares in the smoothing, or null for equal ones"),
            Field("levels", "const double *", "(outputs,) of the quantiles, or null"),
        ],
    ),
    Structure(
        "StagePart",
        [
            Field("values", "T *[STACKS]", "null where a stage does not have the part"),
            Field("count", "int64_t", "numbers, with padding"),
            Field("rows", "int64_t", "without padding"),
            Field("columns", "int64_t", "without padding"),
            Field("row", "int64_t", "numbers from one row to the next"),
            Field("factors", "Factors"),
        ],
    ),
    Structure(
        "Stage",
        [
            Field("kind", "Embedding"),
            Field("inputs", "int64_t", "of the network"),
            Field("units", "int64_t", "values that the first layer reads"),
            Field("columns", "int64_t", "that are embedded"),
            Field("size", "int64_t", "values of each embedded column"),
            Field("n_linear", "int64_t", "values of each embedded column that a linear map makes"),
            Field("features", "int64_t", "of each embedded column, which the map reads"),
            Field("frequencies", "int64_t"),
            Field("bins", "int64_t"),
            Field("maps", "int64_t", "linear maps; 1 for a shared one"),
            Field("embedded", "const int64_t *", "(columns,) their inputs"),
            Field("kept", "const int64_t *", "(n_kept,) inputs that the first layer reads as they are"),
            Field("n_kept", "int64_t"),
            Field("missing_at", "const int64_t *", "(pairs, 2) inputs: a flag and its number"),
            Field("pairs", "int64_t"),
            Field("codes", "const int64_t *", "(n_codes, 3): input, number of codes, values of their embeddings"),
            Field("n_codes", "int64_t", "columns of codes"),
            *(Field(name, "StagePart<T>") for name in STAGE_PARTS),
        ],
    ),
    Structure(
        "RuleNumbers",
        [
            Field("rule", "Rule"),
            *(Field(name, "double") for name in UpdateNumbers._fields),  # models/eager/optim.py says what they do
            Field("l1", "double", "penalty"),
            Field("clip", "double", "the greatest norm of the gradient; 0 for any"),
            Field("noise", "double", "standard deviation of that on the first gradients"),
            Field("average", "double", "share of the new weights in their running average"),
        ],
        False,
    ),
    Structure(
        "Member",
        [
            Field("layers", "const Layer<T> *"),
            Field("n_layers", "int64_t", "with the output layer"),
            Field("group", "int64_t", "of data"),
            Field("stream", "int64_t", "of noise"),
            Field("in_bf16", "int64_t", "whether factors of products are rounded in training; floats only"),
            Field("dropout", "Dropout", "of the inputs"),
            Field("stage", "const Stage<T> *", "between inputs and first layer, or null"),
            Field("loss", "LossNumbers<T>"),
            Field("update", "RuleNumbers"),
        ],
    ),
    Structure(
        "Steps",
        [
            Field("members", "const Member<T> *"),
            Field("n_members", "int64_t"),
            Field("first", "int64_t", "step of the epoch"),
            Field("last", "int64_t", "the step after the last one"),
            Field("n_groups", "int64_t"),
            Field("n_streams", "int64_t"),
            Field("n_noise_layers", "int64_t"),
            Field("columns", "int64_t", "of a batch"),
            Field("inputs", "int64_t", "padded"),
            Field("channels", "int64_t", "rows of the targets"),
            Field("noise_row", "int64_t", "columns as the noise counts them"),
            Field("rows", "const T *const *", "by group, (steps, columns, inputs)"),
            Field("columns_of", "const T *const *", "by group, (steps, inputs, columns)"),
            Field("row_pairs", "const Bf16 *const *", "by group, pairs of the rows of `rows`; null where nobody reads"),
            Field("column_pairs", "const Bf16 *const *", "the same of `columns_of`"),
            Field("targets", "const T *", "(steps, groups, channels, columns)"),
            Field("weights", "const T *", "(steps, groups, columns)"),
            Field("shares", "const T *", "the same without the weights of rows: 1 / rows of the batch, or 0"),
            Field("noise", "const int32_t *", "(steps, noise layers, streams, 2), or null"),
            Field("gradient_keys", "const int32_t *", "(steps, kinds, streams, 2) of the noise on gradients, or null"),
            Field("n_kinds", "int64_t"),
            Field("rates", "const T *", "(steps, members)"),
            Field("drops", "const double *", "(steps, members) factors on the dropout rates, or null for 1"),
            Field("decays", "const T *", "(steps, members) factors on the decay, or null for 1"),
            Field("averages", "const T *", "(steps, members) of new weights in averages, below 0 for the own; or null"),
            Field("steps_before", "int64_t", "steps that the members have taken before this epoch"),
            Field("passes", "int64_t", "whether to compute the gradients"),
            Field("updates", "int64_t", "whether to apply them"),
            Field("losses", "T *", "(members,) receives the sum over the steps"),
        ],
    ),
    Structure(
        "Evaluation",
        [
            Field("members", "const Member<T> *"),
            Field("n_members", "int64_t"),
            Field("stack", "int64_t", "which weights"),
            Field("n_chunks", "int64_t"),
            Field("columns", "int64_t", "of a chunk"),
            Field("inputs", "int64_t", "padded"),
            Field("channels", "int64_t", "rows of the targets"),
            Field("columns_of", "const T *const *", "by group, (chunks, inputs, columns)"),
            Field("targets", "const T *", "(groups, chunks, channels, columns)"),
            Field("weights", "const T *", "(groups, chunks, columns)"),
            Field("score", "Score", "what is summed"),
            Field("values", "const double *", "(groups, chunks, columns): the truth in the user's units"),
            Field("codings", "const double *", "(groups, 2): scale and mean of the target"),
            Field("losses", "T *", "(members,)"),
            Field("scores", "double *", "(members,): sums"),
            Field("outputs", "T *", "(members, units, chunks * columns), or null where nobody wants them"),
        ],
    ),
    Structure(
        "Keeping",
        [
            Field("members", "const Member<T> *"),
            Field("n_members", "int64_t"),
            Field("stack", "int64_t", "which weights"),
            Field("is_best", "const bool *", "(members,)"),
        ],
    ),
)

# -- in Python ------------------------------------------------------------------------------------------------------


def _python_type(declared: str, known: Mapping[str, Any]) -> Any:
    """Find the ctypes type of a C++ type; only pointers to pointers and to structures are typed pointers."""
    bare = declared.removeprefix("const ").removesuffix("*").strip().removesuffix("<T>")
    if declared.endswith("[STACKS]"):
        return c_void_p * len(STACKS)
    if declared.endswith("*const *"):
        return POINTER(c_void_p)
    if declared.endswith("*"):
        return POINTER(known[bare]) if bare in known else c_void_p
    if bare in ENUMERATIONS:
        return c_int64
    return known[bare] if bare in known else {"int64_t": c_int64, "double": c_double}[bare]


def _records() -> dict[str, Any]:
    """Make a ctypes structure for each declared structure."""
    made: dict[str, Any] = {}
    for structure in STRUCTURES:
        fields = [(field.name, _python_type(field.type, made)) for field in structure.fields]
        made[structure.name] = type(structure.name, (ctypes.Structure,), {"_fields_": fields})
    return made


RECORDS: Mapping[str, Any] = _records()
"""The structures in Python, by name; their attributes are the fields declared above."""


def sizes_and_offsets() -> list[int]:
    """List the size of every structure and the offsets of its fields, in bytes, as `layout` of the library does."""
    numbers: list[int] = []
    for structure in STRUCTURES:
        record = RECORDS[structure.name]
        own = [ctypes.sizeof(record), *(getattr(record, field.name).offset for field in structure.fields)]
        numbers += own * len(_instances(structure))
    return numbers


# -- in C++ ---------------------------------------------------------------------------------------------------------


def header() -> str:
    """Write the interface as a C++ header."""
    return "\n".join(chain(_HEAD, _enumerations(), map(_declaration, STRUCTURES), _layout())) + "\n"


_HEAD = (
    "// Written by models/compiled/interface.py whenever the library is built.",
    "#pragma once",
    "",
    "#include <cstddef>",
    "#include <cstdint>",
    "",
    "using Bf16 = uint16_t;",
)


def _enumerations() -> Iterator[str]:
    for name, words in ENUMERATIONS.items():
        yield f"enum class {name} : int64_t {{ {', '.join(words)} }};"
    yield f"enum Stack : int64_t {{ {', '.join(name.upper() for name in STACKS)}, STACKS }};"
    yield f"enum class Status : int64_t {{ {', '.join(f'{s.name.lower()} = {s.value}' for s in Status)} }};"
    needs_input = (str(ACTIVATIONS[name].needs_input).lower() for name in ENUMERATIONS["Activation"])
    yield f"constexpr bool NEEDS_INPUT[] = {{{', '.join(needs_input)}}};  // by Activation"
    for name, value in _CONSTANTS.items():
        yield f"constexpr double {name} = {value!r};"
    yield f"constexpr int64_t TILE_TERMS = {TILE_TERMS}, NEWTON_SCHULZ_STEPS = {NEWTON_SCHULZ_STEPS};"
    yield f"constexpr int64_t NOISE_ROW = {NOISE_ROW};"


def _declaration(structure: Structure) -> str:
    lines = [f"\n{'template <class T> ' if structure.is_template else ''}struct {structure.name} {{"]
    for field in structure.fields:
        kind, _, length = field.type.partition("[")
        declared = f"{kind} {field.name}[{length}" if length else f"{kind} {field.name}"
        lines.append(f"    {declared};{f'  // {field.meaning}' if field.meaning else ''}")
    return "\n".join([*lines, "};"])


def _instances(structure: Structure) -> list[str]:
    return [f"{structure.name}<{t}>" for t in ("float", "double")] if structure.is_template else [structure.name]


def _layout() -> Iterator[str]:
    yield "\n// Sizes and places of fields, for whoever loads the library to compare."
    yield "constexpr int64_t LAYOUT[] = {"
    for structure in STRUCTURES:
        for instance in _instances(structure):
            places = ", ".join(f"offsetof({instance}, {field.name})" for field in structure.fields)
            yield f"    sizeof({instance}), {places},"
    yield "};"
