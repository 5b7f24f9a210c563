"""The networks and their mathematics, on three backends: eager, compiled and fused.

May import torch, numpy and safetensors; nothing else of Foldstep. No trial, lease, file format of data or HTTP enters
here. The tables of hyperparameters are free of torch, so the master can read them.
"""

if __name__ != "foldstep.models":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.models: import it by that name")
