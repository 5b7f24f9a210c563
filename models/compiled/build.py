"""Build the library with the machine's C++ compiler, once for each source, compiler and processor."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from foldstep.models.compiled.interface import header

SOURCES = Path(__file__).parent / "source"
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC", "-Werror=switch",
)  # fmt: skip
"""Sums keep their order (no -ffast-math). -march=native is safe, as the library is built on the machine where it runs.
-Werror=switch makes it an error if a `switch` leaves out a name of an enumeration."""
_WIDE = "-mprefer-vector-width=512"
TIME_LIMIT_S = 300


class NotBuilt(Exception):
    """The library cannot be built or loaded on this machine; the message says why, in one sentence."""


def cache_dir() -> Path:
    """Find the folder in which built libraries are kept; it may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "foldstep" / "compiled"


def build(folder: Path | None = None) -> Path:
    """Compile the library, unless it is already there and intact, and return its path.

    Args:
        folder: folder to keep it in; `cache_dir()` if None.

    Raises:
        NotBuilt: there is no compiler, or it fails.
    """
    compiler = find_compiler()
    flags = [*FLAGS, *([_WIDE] if platform.machine() == "x86_64" else [])]
    path = (folder or cache_dir()) / f"step-{_fingerprint(compiler, flags)}.so"
    if not _is_whole(path):
        _compile([compiler, *flags, str(SOURCES / "step.cpp")], path)
    return path


def find_compiler() -> str:
    """Find the compiler: `$CXX`, or g++ if that is not set.

    Raises:
        NotBuilt: the compiler is not installed.
    """
    wanted = os.environ.get("CXX") or "g++"
    found = shutil.which(wanted)
    if found is None:
        raise NotBuilt(f"There is no C++ compiler here ({wanted} was not found).")
    return found


def _fingerprint(compiler: str, flags: list[str]) -> str:
    """Compute a hash of everything that the library's machine code depends on."""
    told = hashlib.sha256()
    for part in (compiler, *flags, _run([compiler, "--version"]), _processor(), header()):
        told.update(part.encode() + b"\0")
    for source in sorted(SOURCES.iterdir()):
        told.update(source.name.encode() + b"\0" + source.read_bytes())
    return told.hexdigest()[:16]


def _processor() -> str:
    """Describe the processor, on which -march=native depends: several machines may share a cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(
        sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    )


def _is_whole(path: Path) -> bool:
    """Tell whether the library exists and is intact; loading a damaged one may crash the process."""
    try:
        return _sum_of(path).read_text() == _digest(path)
    except (OSError, UnicodeDecodeError):
        return False


def _sum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _compile(command: list[str], path: Path) -> None:
    """Compile into a temporary file and then rename it, so that no process loads an incomplete library."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            write_header(Path(folder))
            _run([*command, f"-I{folder}", "-o", str(made)])
            _sum_of(made).write_text(_digest(made))
            _sum_of(made).replace(_sum_of(path))
            made.replace(path)
    except OSError as error:
        raise NotBuilt(f"The compiled backend cannot be kept in {path.parent}: {error.strerror}.") from error


def write_header(folder: Path) -> None:
    """Write `interface.h`, which the sources include, into a folder."""
    (folder / "interface.h").write_text(header())


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"{command[0]} cannot be run: {error}.") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it did not say why"]
        told = next((line for line in lines if "error" in line), lines[0])
        raise NotBuilt(f"{command[0]} cannot compile the library: {told}")
    return done.stdout
