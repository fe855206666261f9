"""Which patch of an image is most like which word of a caption: the matrix, what it says, and JSON for a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Mismatch

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Products float32 [patches, tokens] of an image's patches, row by row of the grid, with a caption's tokens.

    `spans` says where each token stands in the caption, in code points; (0, 0) for one that stands for none of it.
    """

    caption: str
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    grid: tuple[int, int]
    likeness: Floats

    def __post_init__(self) -> None:
        rows, columns = self.grid
        if self.likeness.shape != (rows * columns, len(self.tokens)) or len(self.spans) != len(self.tokens):
            raise Mismatch(
                f"An alignment of a grid {rows} x {columns} and {len(self.tokens)} tokens needs such products; "
                f"got {list(self.likeness.shape)}, and {len(self.spans)} spans."
            )

    @property
    def token_of_patch(self) -> NDArray[np.int64]:
        """int64 [patches]: the token that each patch is most like."""
        at: NDArray[np.int64] = self.likeness.argmax(axis=1)
        return at

    @property
    def best_of_patch(self) -> Floats:
        """float32 [patches]: how like that token it is. Their mean is the image's likeness to the text."""
        best: Floats = self.likeness.max(axis=1)
        return best

    @property
    def patch_of_token(self) -> NDArray[np.int64]:
        """int64 [tokens]: the patch that each token is most like."""
        at: NDArray[np.int64] = self.likeness.argmax(axis=0)
        return at

    def tokens_of(self, words: str) -> list[int]:
        """The tokens of which the words consist, where they first stand; BadInput where the caption has them not."""
        start = self.caption.lower().find(words.lower())
        if not words or start < 0:
            raise BadInput(f"{words!r} is not in the caption {self.caption!r}. Give words of it.")
        end = start + len(words)
        return [at for at, (first, last) in enumerate(self.spans) if first < end and last > start]

    def patches_of(self, words: str) -> NDArray[np.bool_]:
        """bool [rows, columns]: the patches that are most like a token of these words (FILIP, section 4.5)."""
        return np.isin(self.token_of_patch, self.tokens_of(words)).reshape(self.grid)

    def heat_of(self, words: str) -> Floats:
        """float32 [rows, columns]: each patch's greatest product with a token of these words."""
        heat: Floats = self.likeness[:, self.tokens_of(words)].max(axis=1).reshape(self.grid)
        return heat

    def json(self) -> Mapping[str, Any]:
        """All of it, numbers rounded to 4 places: for a page that draws it."""
        return {
            "caption": self.caption,
            "tokens": list(self.tokens),
            "spans": [list(span) for span in self.spans],
            "grid": list(self.grid),
            "token_of_patch": self.token_of_patch.tolist(),
            "best_of_patch": _rounded(self.best_of_patch),
            "patch_of_token": self.patch_of_token.tolist(),
            "likeness": [_rounded(row) for row in self.likeness],
        }


def _rounded(values: Sequence[float] | Floats) -> list[float]:
    return [round(float(value), 4) for value in values]
