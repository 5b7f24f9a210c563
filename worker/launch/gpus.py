"""Print how many GPUs PyTorch can use: `python -m foldstep.worker.launch.gpus`."""

from __future__ import annotations

import sys
import warnings

from foldstep.service.contract.processes import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    warnings.simplefilter("ignore")  # a driver that PyTorch finds too old is no GPU, not an error
    import torch

    sys.stdout.write(f"{torch.cuda.device_count()}\n")
