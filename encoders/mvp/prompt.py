"""A query and its candidates as MVP reads them: the tokens of the views first, then the texts.

`<extra_id_0>…<extra_id_3> | Query: … | Context: …` and T5's end. What is too long loses its end, the query and the
candidate each its own, so that no view and neither word is ever cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retr.encoders.mvp.settings import MVPSettings
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.tokenizing import check_list, read_tokenizer, tokenize
from retr.retrieval.errors import BadInput

LONGEST = 1 << 30
"""Tokens at which the tokenizer itself would cut, which it must not."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """`views` are the numbers of the views' tokens, `end` those of T5's end; the tokenizer adds none of its own."""

    tokenizer: Any
    views: tuple[int, ...]
    end: tuple[int, ...]
    settings: MVPSettings

    @classmethod
    def of(cls, tokenizer: Any, config: Mapping[str, Any], settings: MVPSettings) -> "Prompt":
        """Of a tokenizer that knows T5's sentinels; BadInput for another."""
        from tokenizers import processors

        bare = type(tokenizer).from_str(tokenizer.to_str())
        bare.no_truncation()
        bare.post_processor = processors.Sequence([])
        views = tuple(bare.token_to_id(f"<extra_id_{view}>") for view in range(settings.views))
        if None in views:
            raise BadInput(
                f"The tokenizer has no token <extra_id_{views.index(None)}>, of which MVP with {settings.views} views "
                "needs one a view. Take a T5's folder, or fewer views."
            )
        end = config.get("eos_token_id")
        return cls(bare, views, () if end is None else (int(end),), settings)

    def read(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text with the query."""
        check_list(texts)
        asked, *read = (list(found.ids) for found in tokenize(self.tokenizer, self._parts(query, texts)))
        before = [*self.views, *asked[: self.settings.query_share]]
        room = self.settings.max_tokens - len(before) - len(self.end)
        return [[*before, *ids[:room], *self.end] for ids in read]

    @staticmethod
    def _parts(query: str, texts: Sequence[str]) -> list[str]:
        for text in (query, *texts):
            if not isinstance(text, str):
                raise BadInput(f"Texts must be strings of valid Unicode; got {str(text)[:40]!a}. Clean it first.")
        return [f"| Query: {query}", *(f"| Context: {text}" for text in texts)]


def read_prompt(folder: Path, settings: MVPSettings) -> tuple[Prompt, str]:
    """The prompt of a folder, and the sha256 of its tokenizer."""
    tokenizer, sha256 = read_tokenizer(folder, LONGEST)
    return Prompt.of(tokenizer, read_json(folder / "config.json"), settings), sha256
