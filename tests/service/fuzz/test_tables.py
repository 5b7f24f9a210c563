"""Files of any kind as tables: a table, or a refusal in words; in one process that may not take a gigabyte."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from foldstep.service.child import environment
from foldstep.service.contract.processes import last_words

READER = """
    import gzip, io, os, random, sys, tempfile
    from pathlib import Path
    import numpy as np, pyarrow as pa, pyarrow.parquet as pq
    from foldstep.service.child import limit_memory_and_time
    from foldstep.service.contract.errors import DatasetUnreadable
    from foldstep.service.data.ingest import ingest

    os.environ["_FOLDSTEP_LIMITS"] = f"{700 << 20} 200"
    limit_memory_and_time()
    kind, n_files = sys.argv[1], int(sys.argv[2])
    rng = random.Random(kind)
    PIECES = ["1", "-2.5", "1e400", "1,5", "", " ", "NaN", "2024-01-05", "31.02.2024", "12:30", "5 %", "€ 3", "\\0",
              "\\ud7ff", "é", "日本", "\\ufeff", "x" * 3000, '"', '""', "'", "=cmd()", "1_000", "0x10", "9" * 400,
              "true", "A", "\\x1a"]
    ENDS = ["\\n"] * 8 + ["\\r\\n", "\\r", "\\n\\n", "\\u2028", "\\x0b"]

    def csv():
        delimiter = rng.choice(",;\\t|")
        n_columns = rng.choice([1, 2, 3, 5, 40])
        rows = [delimiter.join(f"c{i}" for i in range(n_columns))]
        pools = [rng.sample(PIECES, rng.randint(1, 4)) for _ in range(n_columns)]
        for _ in range(rng.choice([0, 1, 2, 10, 200])):
            width = n_columns if rng.random() < 0.998 else rng.randint(0, 2 * n_columns)
            rows.append(delimiter.join(rng.choice(pools[i % n_columns]) for i in range(width)))
        text = "".join(row + rng.choice(ENDS) for row in rows)
        content = text.encode(rng.choice(["utf-8"] * 4 + ["utf-16", "utf-8-sig", "utf-16-le"]))
        content = damaged(content) if rng.random() < 0.4 else content
        return gzip.compress(content) if rng.random() < 0.1 else content

    def parquet():
        n = rng.choice([0, 1, 5, 100])
        columns = {
            "number": pa.array(np.linspace(0, 1, n)), "text": pa.array(["a", None, "b"] * n)[:n],
            "date": pa.array(list(range(n)), pa.timestamp(rng.choice(["s", "ns"]))), "flag": pa.array([True] * n),
            "list": pa.array([[1, 2]] * n, pa.list_(pa.int32())), "big": pa.array([2**63] * n, pa.uint64()),
            "half": pa.array(np.ones(n, np.float16)), "bytes": pa.array([b"\\xff"] * n), "null": pa.nulls(n),
            "decimal": pa.array([None] * n, pa.decimal128(38, 10)), "": pa.array([1] * n),
            "time": pa.array([1] * n, pa.time64("us")),
            "record": pa.array([{"a": 1}] * n, pa.struct([("a", pa.int8())])),
            "codes": pa.array(["x"] * n).dictionary_encode(),
        }
        names = rng.sample(list(columns), rng.randint(1, 6))
        out = io.BytesIO()
        packed = rng.choice(["none", "snappy", "gzip"])
        pq.write_table(pa.table({name: columns[name] for name in names}), out, compression=packed)
        return damaged(out.getvalue()) if rng.random() < 0.7 else out.getvalue()

    def noise():
        heads = [b"", b"PAR1", b"\\x1f\\x8b", b"PK\\x03\\x04", b"{", b"<", b"%PDF", b"\\xff\\xfe", b"\\x80\\x04"]
        head = rng.choice(heads)
        return head + rng.randbytes(rng.choice([0, 1, 10, 5000])) + rng.choice([b"", b"PAR1"])

    def damaged(content):
        content = bytearray(content)
        for _ in range(rng.randint(1, 6)):
            at = rng.randint(0, len(content))
            content[at : at + rng.choice([0, 1, 1, 4, 100])] = rng.randbytes(rng.choice([0, 1, 1, 4]))
        return bytes(content)

    make = {"csv": csv, "parquet": parquet, "noise": noise}[kind]
    n_read = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for i in range(n_files):
            path.write_bytes(make())
            try:
                ingest(path, into=Path(folder) / "into")
                n_read += 1
            except DatasetUnreadable as refused:
                assert len(refused.message) < 6000, refused.message
            except BaseException:
                Path(sys.argv[3]).write_bytes(path.read_bytes())
                sys.stderr.write(f"file {i}: ")
                raise
    print(n_read)
"""


@pytest.mark.parametrize(("kind", "n_files", "n_read"), [("csv", 150, 5), ("parquet", 150, 2), ("noise", 100, 0)])
def test_any_file_is_a_table_or_refused(tmp_path: Path, kind: str, n_files: int, n_read: int) -> None:
    bad = tmp_path / "bad"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READER), kind, str(n_files), str(bad)],
        capture_output=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, (
        f"{last_words(done.stderr)}: {bad.read_bytes()[:500] if bad.exists() else done.stderr!r}"
    )
    assert int(done.stdout) >= n_read
