"""A graph of ONNX that is built by calculating with its values; and the operations of `Ops` on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 18, 3, 9
"""Versions that runtimes of 2023 read, too."""
_ML = "ai.onnx.ml"


@dataclass
class Graph:
    """A graph in the making.

    Attributes:
        taken: names of inputs and outputs, which no value in between may have.
    """

    taken: Collection[str] = ()
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    _known: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def __call__(self, operator: str, *inputs: Node, dtype: Any = None, domain: str = "", **attributes: Any) -> Node:
        """Add a node; its result has the type of the first input where none is said."""
        name = self._free(operator)
        self.nodes.append(helper.make_node(operator, [one.name for one in inputs], [name], domain=domain, **attributes))
        return Node(self, name, np.dtype(inputs[0].dtype if dtype is None else dtype))

    def constant(self, array: Any, dtype: Any) -> Node:
        """Add an array, once where it is used often."""
        values = np.ascontiguousarray(np.asarray(array, dtype=dtype))
        is_text = values.dtype == object
        key = (values.dtype.str, np.shape(array), repr(values.tolist()) if is_text else values.tobytes())
        if key not in self._known:
            self._known[key] = self._free("constant")
            self.constants.append(_tensor(values.reshape(np.shape(array)), self._known[key]))
        return Node(self, self._known[key], values.dtype)

    def input(self, name: str, dtype: Any) -> Node:
        """Add an input of one number or text a row."""
        self.inputs.append(helper.make_tensor_value_info(name, _type(dtype), ["rows"]))
        return Node(self, name, np.dtype(dtype))

    def output(self, value: Node, name: str, n_columns: int | None) -> None:
        """Make a value an output, (rows,) or (rows, columns)."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        shape: list[str | int | None] = ["rows"] if n_columns is None else ["rows", n_columns]
        self.outputs.append(helper.make_tensor_value_info(name, _type(value.dtype), shape))

    def model(self, said: dict[str, str]) -> Any:
        """Make the model of the graph, checked.

        Args:
            said: what it says about itself, by name.
        """
        graph = helper.make_graph(self.nodes, "foldstep", self.inputs, self.outputs, self.constants)
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid(_ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION, producer_name="foldstep")
        helper.set_model_props(model, said)
        onnx.checker.check_model(model)
        return model

    def _free(self, word: str) -> str:
        name = f"{word}_{len(self.nodes) + len(self.constants)}"
        while name in self.taken:
            name += "_"
        return name


def _type(dtype: Any) -> int:
    """Find ONNX's number of a type; NumPy has texts as objects."""
    kind = np.dtype(dtype)
    return int(onnx.TensorProto.STRING if kind.hasobject else helper.np_dtype_to_tensor_dtype(kind))


def _tensor(values: np.ndarray, name: str) -> Any:
    if values.dtype == object:
        texts: Any = [str(text).encode() for text in values.ravel()]
        return helper.make_tensor(name, onnx.TensorProto.STRING, values.shape, texts)
    return numpy_helper.from_array(values, name)


@dataclass(frozen=True)
class Node:
    """A value of a graph, with which formulas calculate."""

    graph: Graph
    name: str
    dtype: np.dtype[Any]

    def _with(self, operator: str, other: Node | float, dtype: Any = None) -> Node:
        node = other if isinstance(other, Node) else self.graph.constant(other, self.dtype)
        return self.graph(operator, self, node, dtype=dtype)

    def __add__(self, other: Node | float) -> Node:
        return self._with("Add", other)

    def __sub__(self, other: Node | float) -> Node:
        return self._with("Sub", other)

    def __mul__(self, other: Node | float) -> Node:
        return self._with("Mul", other)

    def __truediv__(self, other: Node | float) -> Node:
        return self._with("Div", other)

    def __gt__(self, other: Node | float) -> Node:
        return self._with("Greater", other, bool)

    def __lt__(self, other: Node | float) -> Node:
        return self._with("Less", other, bool)

    def __ge__(self, other: Node | float) -> Node:
        return self._with("GreaterOrEqual", other, bool)

    def __le__(self, other: Node | float) -> Node:
        return self._with("LessOrEqual", other, bool)

    def cast(self, dtype: Any) -> Node:
        """Convert to another type."""
        return self.graph("Cast", self, dtype=dtype, to=_type(dtype))


class GraphOps:
    """The operations of `Ops` on the values of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def constant(self, array: np.ndarray, like: Node) -> Node:
        """Make a value of an array."""
        return self.graph.constant(array, like.dtype)

    def matmul(self, a: Node, b: Node) -> Node:
        """Multiply matrices."""
        return self.graph("MatMul", a, b)

    def exp(self, x: Node) -> Node:
        """Compute e^x."""
        return self.graph("Exp", x)

    def log(self, x: Node) -> Node:
        """Compute the natural logarithm."""
        return self.graph("Log", x)

    def sqrt(self, x: Node) -> Node:
        """Compute the square root."""
        return self.graph("Sqrt", x)

    def tanh(self, x: Node) -> Node:
        """Compute the hyperbolic tangent."""
        return self.graph("Tanh", x)

    def sigmoid(self, x: Node) -> Node:
        """Compute 1 / (1 + e^-x)."""
        return self.graph("Sigmoid", x)

    def softplus(self, x: Node) -> Node:
        """Compute log(1 + e^x)."""
        return self.graph("Softplus", x)

    def sin(self, x: Node) -> Node:
        """Compute the sine."""
        return self.graph("Sin", x)

    def cos(self, x: Node) -> Node:
        """Compute the cosine."""
        return self.graph("Cos", x)

    def erf(self, x: Node) -> Node:
        """Compute the error function, of float32."""
        return self.graph("Erf", x)

    def floor(self, x: Node) -> Node:
        """Round down."""
        return self.graph("Floor", x)

    def abs(self, x: Node) -> Node:
        """Compute the absolute value."""
        return self.graph("Abs", x)

    def maximum(self, a: Node, b: float | Node) -> Node:
        """Take the greater one; NaN stays."""
        return self.graph("Max", a, self._lifted(b, a))

    def minimum(self, a: Node, b: float | Node) -> Node:
        """Take the smaller one; NaN stays."""
        return self.graph("Min", a, self._lifted(b, a))

    def where(self, condition: Node, a: float | Node, b: float | Node) -> Node:
        """Choose by a condition."""
        like = a if isinstance(a, Node) else b
        assert isinstance(like, Node)
        return self.graph("Where", condition, self._lifted(a, like), self._lifted(b, like), dtype=like.dtype)

    def is_nan(self, x: Node) -> Node:
        """Tell where a value is NaN."""
        return self.graph("IsNaN", x, dtype=bool)

    def concat(self, parts: Sequence[Node]) -> Node:
        """Put matrices beside each other."""
        return parts[0] if len(parts) == 1 else self.graph("Concat", *parts, axis=1)

    def total(self, x: Node) -> Node:
        """Sum each row."""
        return self.graph("ReduceSum", x, self._whole([1]))

    def mean(self, x: Node) -> Node:
        """Average each row."""
        return self.graph("ReduceMean", x, self._whole([1]))

    def greatest(self, x: Node) -> Node:
        """Find the maximum of each row."""
        return self.graph("ReduceMax", x, self._whole([1]))

    def ascending(self, x: Node) -> Node:
        """Sort each row."""
        name = self.graph("Shape", x, dtype=np.int64, start=1, end=2)
        values = self.graph("TopK", x, name, axis=1, largest=0)
        self.graph.nodes[-1].output.append(f"{values.name}_indices")
        return values

    def columns(self, x: Node, indices: Sequence[int]) -> Node:
        """Take columns of a matrix."""
        return self.graph("Gather", x, self._whole(indices), axis=1)

    def vector(self, x: Node, index: int) -> Node:
        """Take one column of a matrix as a vector."""
        return self.graph("Gather", x, self._whole(index), axis=1)

    def gather(self, table: Node, indices: Node) -> Node:
        """Take entries of a table by its first axis."""
        return self.graph("Gather", table, indices.cast(np.int64), axis=0)

    def double(self, x: Node) -> Node:
        """Convert to float64."""
        return x.cast(np.float64)

    def single(self, x: Node) -> Node:
        """Convert to float32."""
        return x.cast(np.float32)

    def _lifted(self, x: float | Node, like: Node) -> Node:
        return x if isinstance(x, Node) else self.graph.constant(x, like.dtype)

    def _whole(self, values: int | Sequence[int]) -> Node:
        return self.graph.constant(values, np.int64)
