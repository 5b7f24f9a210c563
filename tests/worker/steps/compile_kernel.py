"""Compile the fused kernel for a GPU that this machine need not have.

`python -m tests.worker.steps.compile_kernel 90 fp32` compiles a few variants; with `ACTIVATIONS=256` appended, one with
that value of the constant.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from foldstep.models.fused.kernel import take_steps

TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
PLAIN: dict[str, Any] = {
    "DEPTH": 2, "INPUTS": 64, "UNITS": 32, "OUTPUTS": 16, "COLUMNS": 32, "ACTIVATIONS": 1, "LOSSES": 1,
    "RULES": 4, "CLASSIFIES": True, "DROPS": False, "REMEMBERS": True,
}  # fmt: skip
EVERYTHING = PLAIN | {"INPUTS": 16, "ACTIVATIONS": 255, "LOSSES": 30, "RULES": 7, "CLASSIFIES": False, "DROPS": True}
NO_LAYERS = PLAIN | {"DEPTH": 0, "UNITS": 16, "RULES": 1, "REMEMBERS": False}
WHOLE_TABLES = {"noise": "*i32", "whole": "*i64"}


def main(capability: int, dtype: str, *changes: str) -> None:
    """Print the registers and stack bytes of a few variants, or of one with changed constants.

    Args:
        capability: compute capability of the GPU, such as 90.
        dtype: Triton's name of the floats, `fp32` or `fp64`.
        changes: constants of the kernel as NAME=VALUE.
    """
    if changes:
        constants = {name: int(value) for name, value in (change.split("=") for change in changes)}
        sys.stdout.write(f"changed: {compiled(capability, dtype, PLAIN | constants)}\n")
        return
    forms = {"plain": PLAIN, "everything": EVERYTHING, "no_layers": NO_LAYERS}
    if dtype == "fp32":
        forms["rounded"] = PLAIN | {"PRECISION": "tf32"}
    for name, choices in forms.items():
        sys.stdout.write(f"{name}: {compiled(capability, dtype, choices)}\n")


def compiled(capability: int, dtype: str, choices: dict[str, Any]) -> str:
    choices = {"PRECISION": "tf32x3" if dtype == "fp32" else "ieee"} | choices
    names = take_steps.arg_names
    pointers = names[: names.index("losses") + 1]
    whole = [n for n in names if n not in choices and n not in pointers]
    signature = dict.fromkeys(choices, "constexpr") | dict.fromkeys(whole, "i32") | dict.fromkeys(pointers, f"*{dtype}")
    signature = {n: WHOLE_TABLES.get(n, signature[n]) for n in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n in pointers}
    source = ASTSource(take_steps, signature, choices, aligned)
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 8, "num_stages": 1})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [str(TOOL), "--dump-resource-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found is not None, told
    return f"{found[1]} registers, {found[2]} bytes of stack"


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
