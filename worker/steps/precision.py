"""Set the precision to which matrix products on a GPU may round their factors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def products_rounded_to(precision: str) -> Iterator[None]:
    """Let matrix products of float32 on a GPU round their factors as the hyperparameter allows, until the block ends.

    The setting is global to the process, and read when a product is launched or captured.

    Args:
        precision: the hyperparameter; both tf32 and bfloat16 let tensor cores round to tf32, which is as fast as
            bfloat16 for the sizes of packs, and more precise.
    """
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = before if precision == "float32" else "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before
