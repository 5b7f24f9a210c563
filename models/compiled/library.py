"""The library's structures and functions, as `source/step.cpp` and `source/network.h` declare them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_bool, c_double, c_int64, c_void_p
from functools import cache

import torch
from torch import Tensor

from foldstep.models.compiled.build import NotBuilt, build

STACKS = ("parameters", "gradients", "first", "second", "average", "best")
"""In the order in which a layer points to them."""
PARTS = {
    "weight": "weights", "bias": "biases", "scale": "scales", "shift": "shifts", "running_mean": "means",
    "running_var": "variances",
}  # fmt: skip
"""By a part's name in `models.stack`, the layer's pointers to it, in their order."""
NORMS = ("none", "batch", "layer")
SCORES = ("none", "right", "squares", "distances")

COLUMNS = 16
"""Columns of a batch are a multiple of this."""
_TILE_TERMS = 32
"""Terms of a product in bf16 are filled up to a multiple of this."""

_FUNCTIONS = ("train", "evaluate", "keep", "transpose")
_TYPES = {torch.float32: "float", torch.float64: "double"}
_TURN = (c_void_p, c_int64, c_int64, c_int64, c_void_p)
_Pointers = c_void_p * len(STACKS)


class DropoutRecord(Structure):
    """`Dropout`."""

    _fields_ = (("below", c_int64), ("scale", c_double))


class LayerRecord(Structure):
    """`Layer`."""

    _fields_ = (
        ("inputs", c_int64), ("units", c_int64), ("row", c_int64), ("activation", c_int64), ("norm", c_int64),
        ("dropout", DropoutRecord), *((name, _Pointers) for name in PARTS.values()),
    )  # fmt: skip


class LossRecord(Structure):
    """`LossNumbers`."""

    _fields_ = (("name", c_int64), ("bend", c_double), ("smoothing", c_double), ("class_weights", c_void_p))


class UpdateRecord(Structure):
    """`UpdateNumbers`."""

    _fields_ = (
        ("rule", c_int64), ("momentum", c_double), ("nesterov", c_double), ("keep", c_double), ("add", c_double),
        ("beta1", c_double), ("beta2", c_double), ("eps", c_double), ("l2", c_double), ("decoupled", c_double),
        ("l1", c_double), ("clip", c_double), ("average", c_double),
    )  # fmt: skip


class MemberRecord(Structure):
    """`Member`."""

    _fields_ = (
        ("layers", c_void_p), ("n_layers", c_int64), ("group", c_int64), ("stream", c_int64), ("in_bf16", c_int64),
        ("dropout", DropoutRecord), ("loss", LossRecord), ("update", UpdateRecord),
    )  # fmt: skip


class StepsRecord(Structure):
    """`Steps`."""

    _fields_ = (
        ("members", POINTER(MemberRecord)), ("n_members", c_int64), ("first", c_int64), ("last", c_int64),
        ("n_groups", c_int64), ("n_streams", c_int64), ("n_noise_layers", c_int64), ("columns", c_int64),
        ("inputs", c_int64), ("channels", c_int64), ("noise_row", c_int64), ("rows", POINTER(c_void_p)),
        ("columns_of", POINTER(c_void_p)), ("row_pairs", POINTER(c_void_p)), ("column_pairs", POINTER(c_void_p)),
        ("targets", c_void_p), ("weights", c_void_p), ("noise", c_void_p), ("rates", c_void_p),
        ("steps_before", c_int64), ("passes", c_int64), ("updates", c_int64), ("losses", c_void_p),
    )  # fmt: skip


class EvaluationRecord(Structure):
    """`Evaluation`."""

    _fields_ = (
        ("members", POINTER(MemberRecord)), ("n_members", c_int64), ("stack", c_int64), ("n_chunks", c_int64),
        ("columns", c_int64), ("inputs", c_int64), ("channels", c_int64), ("columns_of", POINTER(c_void_p)),
        ("targets", c_void_p), ("weights", c_void_p), ("score", c_int64), ("values", c_void_p), ("codings", c_void_p),
        ("losses", c_void_p), ("scores", c_void_p), ("outputs", c_void_p),
    )  # fmt: skip


class KeepingRecord(Structure):
    """`Keeping`."""

    _fields_ = (
        ("members", POINTER(MemberRecord)), ("n_members", c_int64), ("stack", c_int64), ("is_best", c_void_p),
    )  # fmt: skip


class Library:
    """The built library. A call lets other threads run.

    Attributes:
        has_tiles: whether products in bf16 are faster here than those of floats.
    """

    def __init__(self, path: str) -> None:
        functions = ctypes.CDLL(path)
        functions.has_tiles.restype = c_bool
        self.has_tiles: bool = functions.has_tiles()
        self._by_name = {(name, d): getattr(functions, f"{name}_{t}") for name in _FUNCTIONS for d, t in _TYPES.items()}
        for (name, _), function in self._by_name.items():
            function.restype = None
            if name == "transpose":
                function.argtypes = _TURN
        self._pairs = functions.pairs_float
        self._pairs.restype, self._pairs.argtypes = None, _TURN

    def train(self, steps: StepsRecord, dtype: torch.dtype) -> None:
        """Run some steps of an epoch for some members."""
        self._by_name["train", dtype](ctypes.byref(steps))

    def evaluate(self, evaluation: EvaluationRecord, dtype: torch.dtype) -> None:
        """Score some members on validation rows."""
        self._by_name["evaluate", dtype](ctypes.byref(evaluation))

    def keep(self, keeping: KeepingRecord, dtype: torch.dtype) -> None:
        """Remember the weights of some members as their best."""
        self._by_name["keep", dtype](ctypes.byref(keeping))

    def transposed(self, matrices: Tensor) -> Tensor:
        """(count, rows, columns) as (count, columns, rows), contiguous; both sizes are multiples of 16."""
        count, rows, columns = matrices.shape
        made = torch.empty(count, columns, rows, dtype=matrices.dtype)
        transpose = self._by_name["transpose", matrices.dtype]
        transpose(matrices.data_ptr(), count, rows, columns, made.data_ptr())
        return made

    def pairs(self, matrices: Tensor) -> Tensor:
        """(count, rows, columns) of float32, rounded to bfloat16 and with two rows side by side.

        Returns:
            (count, rows / 2, columns, 2) as int16; rows are filled up with zeros to a multiple of 32.
        """
        count, rows, columns = matrices.shape
        made = torch.empty(count, -(-rows // _TILE_TERMS) * _TILE_TERMS // 2, columns, 2, dtype=torch.int16)
        self._pairs(matrices.data_ptr(), count, rows, columns, made.data_ptr())
        return made


@cache
def library() -> Library:
    """The library, built where it is not there yet.

    Raises:
        NotBuilt: this machine cannot build or load it.
    """
    path = build()
    try:
        return Library(str(path))
    except (OSError, AttributeError) as error:
        raise NotBuilt(f"The compiled step cannot be loaded: {error}.") from error


def pointer(tensor: Tensor) -> c_void_p:
    """Where a tensor's numbers lie, one after the other."""
    assert tensor.is_contiguous()
    return c_void_p(tensor.data_ptr())


def pointers(tensors: Sequence[Tensor]) -> ctypes.Array[c_void_p]:
    """The same of several, in an array."""
    return (c_void_p * len(tensors))(*(pointer(tensor) for tensor in tensors))
