"""The library as called from Python: loads it, checks it against the interface, turns its statuses into errors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_int64, c_void_p
from functools import cache
from typing import Any

import torch
from torch import Tensor

from foldstep.models.compiled.build import NotBuilt, build
from foldstep.models.compiled.interface import TILE_TERMS, Status, sizes_and_offsets

_FUNCTIONS = ("train", "evaluate", "keep", "transpose")
_TYPES = {torch.float32: "float", torch.float64: "double"}
_TURN = (c_void_p, c_int64, c_int64, c_int64, c_void_p)


def _check(status: int) -> None:
    """Raise an error unless the status of a call is OK.

    Raises:
        MemoryError: there was no memory for the call's scratch space.
        RuntimeError: the call failed in another way.
    """
    if status == Status.NO_MEMORY:
        raise MemoryError("the compiled backend found no memory for its scratch space")
    if status != Status.OK:
        raise RuntimeError(f"the compiled backend refused a call ({Status(status).name.lower()})")


class Library:
    """The built library. Its calls release the interpreter's lock, so that other threads run.

    Attributes:
        has_tiles: whether products in bf16 are faster on this machine than products of floats (AMX).

    Raises:
        NotBuilt: the layout of its structures differs from Python's.
    """

    def __init__(self, path: str) -> None:
        functions = ctypes.CDLL(path)
        self._check_layout(functions)
        found = c_int64()
        _check(functions.has_tiles(ctypes.byref(found)))
        self.has_tiles = bool(found.value)
        self._by_name = {(name, d): getattr(functions, f"{name}_{t}") for name in _FUNCTIONS for d, t in _TYPES.items()}
        self._pairs = functions.pairs_float
        for function in (*self._by_name.values(), self._pairs):
            function.restype = c_int64
        for function in (*(self._by_name["transpose", dtype] for dtype in _TYPES), self._pairs):
            function.argtypes = _TURN

    @staticmethod
    def _check_layout(functions: ctypes.CDLL) -> None:
        numbers, count = POINTER(c_int64)(), c_int64()
        _check(functions.layout(ctypes.byref(numbers), ctypes.byref(count)))
        if numbers[: count.value] != sizes_and_offsets():
            raise NotBuilt("The compiled backend lays its structures out otherwise than Python does.")

    def train(self, steps: Any, dtype: torch.dtype) -> None:
        """Run the steps of an epoch for the members that a record `Steps` describes."""
        _check(self._by_name["train", dtype](ctypes.byref(steps)))

    def evaluate(self, evaluation: Any, dtype: torch.dtype) -> None:
        """Score members on validation rows, as a record `Evaluation` describes."""
        _check(self._by_name["evaluate", dtype](ctypes.byref(evaluation)))

    def keep(self, keeping: Any, dtype: torch.dtype) -> None:
        """Copy the weights of members to the stack of their best weights, as a record `Keeping` describes."""
        _check(self._by_name["keep", dtype](ctypes.byref(keeping)))

    def transposed(self, matrices: Tensor) -> Tensor:
        """Transpose (count, rows, columns) to contiguous (count, columns, rows); both sizes are multiples of 16."""
        count, rows, columns = matrices.shape
        made = torch.empty(count, columns, rows, dtype=matrices.dtype)
        transpose = self._by_name["transpose", matrices.dtype]
        _check(transpose(matrices.data_ptr(), count, rows, columns, made.data_ptr()))
        return made

    def pairs(self, matrices: Tensor) -> Tensor:
        """Round (count, rows, columns) of float32 to bfloat16 and interleave pairs of rows.

        Returns:
            (count, rows / 2, columns, 2) as int16; rows are filled up with zeros to a multiple of 32.
        """
        count, rows, columns = matrices.shape
        made = torch.empty(count, -(-rows // TILE_TERMS) * TILE_TERMS // 2, columns, 2, dtype=torch.int16)
        _check(self._pairs(matrices.data_ptr(), count, rows, columns, made.data_ptr()))
        return made


@cache
def library() -> Library:
    """Load the library; build it first if necessary.

    Raises:
        NotBuilt: this machine cannot build or load it.
    """
    path = build()
    try:
        return Library(str(path))
    except (OSError, AttributeError) as error:
        raise NotBuilt(f"The compiled backend cannot be loaded: {error}.") from error


def pointer(tensor: Tensor) -> c_void_p:
    """Return the address of a contiguous tensor's numbers."""
    assert tensor.is_contiguous()
    return c_void_p(tensor.data_ptr())


def pointers(tensors: Sequence[Tensor]) -> ctypes.Array[c_void_p]:
    """Return an array of the addresses of several contiguous tensors."""
    return (c_void_p * len(tensors))(*(pointer(tensor) for tensor in tensors))
