"""Which patches of a picture each word of a query matched, with their boxes: what `--explain` says of pictures."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from retr.retrieval.embeddings import Floats
from retr.retrieval.protocols import Box

_WORD = re.compile(r"\w+")

Named = Sequence[tuple[str, tuple[int, int]]]


def words_of(query: str, asked: Named, values: Floats, patches: Floats, boxes: Sequence[Box]) -> list[dict[str, Any]]:
    """For each word of the query its patches, the most alike first, of a picture's `patches` [patches, dim].

    A patch is that of the token which it is most like (FILIP, arXiv 2111.07783, section 4.5), and of that token's word;
    tokens that stand nowhere, such as the beginning and the end, take theirs too. The patch that a word is most like is
    among its own, whatever it is most like itself. `asked` are the query's tokens, `values` [tokens, dim] of them.
    """
    likeness = np.round(patches @ values.T, 4)  # Rounded, so that near ties do not turn on the last bit.
    nearest = likeness.argmax(axis=1)
    found = []
    for word in _WORD.finditer(query):
        own = [at for at, (_, span) in enumerate(asked) if span[0] < word.end() and span[1] > word.start()]
        if not own:
            continue
        heat = likeness[:, own].max(axis=1)
        held = np.isin(nearest, own)
        held[heat.argmax()] = True
        places = np.flatnonzero(held)
        order = places[np.argsort(-heat[places], kind="stable")].tolist()
        told = [{"place": at, "box": list(boxes[at]), "similarity": float(f"{heat[at]:.4f}")} for at in order]
        found.append({"word": word.group(), "span": list(word.span()), "patches": told})
    return found
