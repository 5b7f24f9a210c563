"""Sets what the products of a pass on a GPU may round their factors to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def products_rounded_to(precision: str) -> Iterator[None]:
    """Let matrix products of float32 on a GPU round their factors as a pack's members may, until the block ends.

    What it says is of the whole process, and read when a product is launched or captured.

    Args:
        precision: the hyperparameter; tensor cores round to tf32, and for bfloat16 so, too: it is as fast for the
            sizes that packs have, and finer.
    """
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = before if precision == "float32" else "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before
