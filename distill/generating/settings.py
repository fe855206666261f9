"""How questions are written: what the decoder is told, how long they are, and how much is copied."""

from dataclasses import dataclass
from typing import Literal, get_args

from retr.retrieval.errors import BadInput

Copy = Literal["largepig", "none"]
Divergence = Literal["paper_code", "standard"]
PROMPT = """\
Text: Bees live in colonies of up to 60,000. In winter they form a ball, with the queen in its middle, to keep warm.
Question about the text: How do bees keep warm in winter?

Text: The bridge was opened in 1932 after eight years of work. It carries eight lanes and two railway tracks.
Question about the text: When was the bridge opened?

Text: {text}
Question about the text:"""
"""With one example a small model often asks its question again; with an instruction in place of examples it chats."""


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """`prompt` has `{text}` once. A text longer than `characters` is cut; a question ends with its line.

    `copy`: `largepig` mixes in the words that the last layer looks at, the more the more the layers before it disagree
    with the last one (Sun et al. 2024, arXiv 2410.11366); `none` is greedy decoding. `divergence` `paper_code` is what
    the published code computes, the mixture standing first in both terms, and `standard` the Jensen-Shannon divergence;
    their `scale`, 0, is 100 and 1. With `normalise` the copied shares sum to one, and 500 is the published scale.
    """

    prompt: str = PROMPT
    characters: int = 1024
    new_tokens: int = 50
    copy: Copy = "largepig"
    divergence: Divergence = "paper_code"
    scale: float = 0.0
    normalise: bool = False
    most: float = 0.5
    """The largest share of what is copied."""

    def __post_init__(self) -> None:
        """Refuse unknown words, a prompt without its text, and numbers out of their range."""
        for name, known in (("copy", get_args(Copy)), ("divergence", get_args(Divergence))):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} is {' or '.join(known)}; got {getattr(self, name)!r}.")
        if self.prompt.count("{text}") != 1:
            raise BadInput(f"The prompt has {{text}} {self.prompt.count('{text}')} times; write it once.")
        for name in ("characters", "new_tokens"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; give at least 1.")
        if self.scale < 0 or not 0 <= self.most <= 1:
            raise BadInput(f"scale is {self.scale:g} and most {self.most:g}; give at least 0, and a share up to 1.")

    @property
    def factor(self) -> float:
        """What the divergence is multiplied by."""
        usual = 1.0 if self.divergence == "standard" else (500.0 if self.normalise else 100.0)
        return self.scale or usual
