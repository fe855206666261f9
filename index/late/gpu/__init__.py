"""Token vectors on a GPU: placed there as they are stored, and scored in the same whole numbers as on the CPU.

So a GPU changes no score, no tie and no filter. Documents lie end to end with their offsets, never padded to a length,
and no more than a chunk of tokens is ever expanded. What cannot be moved is searched on the CPU, with the reason at
hand. It is done by torch, which is imported when something is to be moved, and not before.
"""
