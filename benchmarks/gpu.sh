#!/bin/sh
# Measures everything on this machine's GPU and writes benchmarks/results/gpu.json. Needs Python with torch, numpy and
# scikit-learn; nothing of Foldstep has to be installed. Options go to benchmarks.gpu, such as --quick or --device cpu.
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" -m benchmarks.gpu --out benchmarks/results/gpu.json "$@"
