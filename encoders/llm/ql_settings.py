"""What a decoder's folder says of itself as a scorer by query likelihood: its prompt, and what a query sees of it."""

from dataclasses import dataclass

from retr.retrieval.errors import BadInput

MARK = "{document}"

PROMPT = "Instruct: Given a retrieved passage, summarize the passage.\nPassage: {document}\nSummarization: "
"""The published one (Zhang et al. 2025, LLM-QL, arXiv 2504.05216)."""


@dataclass(frozen=True, slots=True)
class QlTable:
    """The table `ql` of retr.json.

    `prompt` is what stands before the query, {document} being the document. With `stop` the end token stands behind it,
    and the query's tokens see nothing before that one: all they know of the document is its vector's token. That is
    for models which were trained so. `normalise`: the mean over the query's tokens instead of their sum; the order of
    one query's documents is the same. `max_tokens` counts document, instruction and query together.
    """

    prompt: str = PROMPT
    stop: bool = False
    normalise: bool = False
    max_tokens: int = 512
    kind: str = "ql"

    def __post_init__(self) -> None:
        if self.prompt.count(MARK) != 1:
            raise BadInput(f"prompt is {self.prompt!r}; it must hold {MARK} once.")
        if self.max_tokens < 8:
            raise BadInput(f"max_tokens is {self.max_tokens}; give at least 8, for document and query together.")
