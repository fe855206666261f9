"""A part's vectors on one GPU or several: they find the candidates, which are then scored exactly as on the CPU.

So a GPU decides only which rows are looked at; scores, ties and filters come out as without it. What cannot be moved
stays on the CPU, with the reason at hand. Nothing heavy is imported here.
"""

from retr.index.dense.gpu.choice import Device, gpus_here, obstacle

__all__ = ["Device", "gpus_here", "obstacle"]
