"""Print how many GPUs PyTorch can use: `python -m foldstep.worker.launch.gpus`."""

from __future__ import annotations

import sys
import warnings

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # a driver that PyTorch finds too old is no GPU, not an error
    import torch

    sys.stdout.write(f"{torch.cuda.device_count()}\n")
