"""Which way a decoder looks: decided in its config before it is built, never by a call's flag.

transformers' flag of a call rewrites the config that all threads share while it runs: beside it other threads get
vectors of the wrong direction. So an encoder has a model object of its own; two may share their weights.
"""

from copy import deepcopy
from itertools import chain
from typing import Any

from retr.encoders.llm.settings import Direction

WINDOW = "sliding_window"


def own_window(config: Any) -> int:
    """How many tokens the sliding layers of a config look back, the token itself included; 0 without such layers."""
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, WINDOW, None)
    if not window or (kinds is not None and "sliding_attention" not in kinds):
        return 0
    return int(window)


def turn(config: Any, direction: Direction, longest: int) -> None:
    """Set a config to a direction, in place, before its model is built.

    A bidirectional text of up to `longest` tokens is seen whole: windows are widened to it. The kinds of layers stay
    as they are, for with them go other rotary angles (Gemma 3) or none (Cohere 2).
    """
    config.is_causal = direction == "causal"
    if direction == "bidirectional" and own_window(config):
        setattr(config, WINDOW, max(longest, own_window(config)))


def facing(model: Any, direction: Direction, longest: int) -> Any:
    """A model object of its own over the same tensors, turned to a direction; both may run in threads at once."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    other = deepcopy(model, shared)
    turn(other.config, direction, longest)
    for part in other.modules():
        if getattr(part, WINDOW, None):
            setattr(part, WINDOW, getattr(other.config, WINDOW, None))
    return other
