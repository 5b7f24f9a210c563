"""The operations that formulas are written with, beside the operators + - * / and comparisons of values.

A value is a tensor of PyTorch or a node of a graph. Where an axis is meant it is the second one, along a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

Value: TypeAlias = Any
"""A tensor, or the result of a node; its numbers are float32 or float64, and results have the type of their inputs."""


class Ops(Protocol):
    """The operations of one side. Most work number by number."""

    def constant(self, array: np.ndarray, like: Value) -> Value:
        """Make a value of an array; floats get the type of another value."""

    def matmul(self, a: Value, b: Value) -> Value:
        """Multiply matrices."""

    def exp(self, x: Value) -> Value:
        """Compute e^x."""

    def log(self, x: Value) -> Value:
        """Compute the natural logarithm."""

    def sqrt(self, x: Value) -> Value:
        """Compute the square root."""

    def tanh(self, x: Value) -> Value:
        """Compute the hyperbolic tangent."""

    def sigmoid(self, x: Value) -> Value:
        """Compute 1 / (1 + e^-x)."""

    def softplus(self, x: Value) -> Value:
        """Compute log(1 + e^x)."""

    def sin(self, x: Value) -> Value:
        """Compute the sine."""

    def cos(self, x: Value) -> Value:
        """Compute the cosine."""

    def erf(self, x: Value) -> Value:
        """Compute the error function, of float32."""

    def floor(self, x: Value) -> Value:
        """Round down."""

    def abs(self, x: Value) -> Value:
        """Compute the absolute value."""

    def maximum(self, a: Value, b: float | Value) -> Value:
        """Take the greater one; NaN stays."""

    def minimum(self, a: Value, b: float | Value) -> Value:
        """Take the smaller one; NaN stays."""

    def where(self, condition: Value, a: float | Value, b: float | Value) -> Value:
        """Choose `a` where the condition holds, else `b`; one of them is no plain number."""

    def is_nan(self, x: Value) -> Value:
        """Tell where a value is NaN."""

    def concat(self, parts: Sequence[Value]) -> Value:
        """Put matrices beside each other."""

    def total(self, x: Value) -> Value:
        """Sum each row, (rows, 1)."""

    def mean(self, x: Value) -> Value:
        """Average each row, (rows, 1)."""

    def greatest(self, x: Value) -> Value:
        """Find the maximum of each row, (rows, 1)."""

    def ascending(self, x: Value) -> Value:
        """Sort each row."""

    def columns(self, x: Value, indices: Sequence[int]) -> Value:
        """Take columns of a matrix."""

    def vector(self, x: Value, index: int) -> Value:
        """Take one column of a matrix as a vector, (rows,)."""

    def gather(self, table: Value, indices: Value) -> Value:
        """Take entries of a table by its first axis; the indices are whole numbers, in any type."""

    def double(self, x: Value) -> Value:
        """Convert to float64."""

    def single(self, x: Value) -> Value:
        """Convert to float32."""
