"""A captured step on a CPU, as strict as a CUDA graph.

Like a graph, a tape repeats operations on the memory that they had when they were recorded, without running the Python
code again. It refuses what a graph cannot hold: a result that the host waits for, and numbers copied from Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from foldstep.worker.steps.graphs import WARM_UP

_ATEN = torch.ops.aten
HOST_WAITS = (_ATEN._local_scalar_dense.default, _ATEN.nonzero.default, _ATEN.equal.default, _ATEN.is_nonzero.default)
BROUGHT_ALONG = (_ATEN.lift_fresh.default,)  # of torch.tensor(...): a copy from host memory


class Tape(TorchDispatchMode):
    """A mode that records the operations of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in HOST_WAITS or func in BROUGHT_ALONG:
            raise RuntimeError(f"{func} cannot be captured")
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Repeat all operations, with results in the same memory."""
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            given = {storage_of(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and storage_of(old) not in given:
                    old.copy_(new)


def storage_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def record_tape(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step as a `Recorder` does; it is the last warm-up step, since recording on a CPU also takes the step."""
    for _ in range(WARM_UP - 1):
        step()
    with Tape() as tape:
        step()
    return tape.replay
