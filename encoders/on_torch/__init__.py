"""Models run by torch: texts end to end without padding, on a CPU or a GPU; needs `retr[train]`."""
