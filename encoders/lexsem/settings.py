"""What a LexSemBridge encoder is told of itself, in training and in serving alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from retr.encoders.rankers.settings import told_settings
from retr.encoders.reading.folder import read_json
from retr.retrieval.errors import BadInput

Words = Literal["statistical", "learned", "contextual"]
PARTS = "lexsem.safetensors"
"""The file with the weights of its own, beside those of a bi-encoder."""


@dataclass(frozen=True, slots=True)
class LexSemSettings:
    """Where the weight of a word comes from, for every word of the vocabulary.

    `statistical`: one learned number for each word that stands in the query, none for others. `learned`: what a learned
    direction says of a word's own state, its greatest. `contextual`: what the model, as it was trained to say hidden
    words, says from the query's first state. With `special` the tokenizer's own tokens are words too.
    """

    words: Words = "statistical"
    special: bool = False

    def __post_init__(self) -> None:
        """Refuse another source of weights."""
        if self.words not in get_args(Words):
            raise BadInput(f"words is {', '.join(get_args(Words))}; got {self.words!r}.")


def read_settings(folder: Path) -> LexSemSettings:
    """The settings that training wrote; BadInput where the folder is of another kind."""
    told = read_json(folder / "retr.json", missing={}).get("lexsem")
    if not isinstance(told, dict):
        raise BadInput(
            f"{folder} is no lexsem encoder: its retr.json has no table 'lexsem'. Train it with kind lexsem."
        )
    return told_settings(LexSemSettings, told, folder, "lexsem")


def own_tokens(tokenizer: Any, settings: LexSemSettings) -> tuple[int, ...]:
    """The tokens that are no words."""
    if settings.special:
        return ()
    added = tokenizer.get_added_tokens_decoder().items()
    return tuple(sorted({number for number, token in added if token.special} | set(tokenizer.encode("").ids)))
