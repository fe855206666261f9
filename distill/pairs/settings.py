"""How pairs are made: which method, from what sentences and passages."""

from dataclasses import dataclass

from retr.retrieval.errors import BadInput, unknown

METHODS: dict[str, str] = {
    "ict": "retr.distill.pairs.ict:of_page",
    "bfs": "retr.distill.pairs.bfs:of_page",
    "wlp": "retr.distill.pairs.wlp:of_pages",
    "generate": "retr.distill.generating.questions:of_page",
}
"""Inverse cloze, body first selection and link prediction (Chang et al., ICLR 2020, arXiv 2002.03932, section 3).

`generate` has a decoder write a question to each passage.
"""


@dataclass(frozen=True, slots=True)
class PairSettings:
    """One way of making pairs.

    `rows` is how many are drawn, at most, of a passage (ict), a document (bfs) or a link (wlp). `keep_prob` is how
    often the sentence stays in its passage (ict; ORQA, Lee et al. 2019, arXiv 1906.00300, keeps 1 in 10). A sentence
    that asks has `min_words` to `max_words` words; a passage has about `passage_words`, and ends where a sentence does.
    `language` is the code by which sentences are told apart; `links_field` names a metadata field of links (wlp).
    `generator` is the folder of a decoder, whose questions keep to the text's words where `copy` says so (generate).
    """

    method: str = "ict"
    seed: int = 0
    rows: int = 1
    keep_prob: float = 0.1
    passage_words: int = 180
    min_words: int = 4
    max_words: int = 64
    language: str = "en"
    links_field: str | None = None
    generator: str = ""
    copy: bool = True

    def __post_init__(self) -> None:
        """Refuse an unknown method and numbers out of their range."""
        if self.method not in METHODS:
            raise unknown("method of making pairs", self.method, METHODS)
        for name, least in (("seed", 0), ("rows", 1), ("min_words", 1), ("max_words", self.min_words)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least {least}.")
        if self.passage_words < self.min_words * 2:
            raise BadInput(
                f"passage_words is {self.passage_words}; give at least {self.min_words * 2}, twice min_words, or no "
                "passage holds two sentences."
            )
        if not 0 <= self.keep_prob <= 1:
            raise BadInput(f"keep_prob is {self.keep_prob:g}; give a share from 0 to 1, such as 0.1.")
        if not self.language.isalnum():
            raise BadInput(f"language is {self.language!r}; give a code such as en, de or zh.")
        if self.links_field is not None and self.method != "wlp":
            raise BadInput(f"links_field is {self.links_field!r}, and {self.method} reads no links. Leave it out.")
        self._check_generator()

    def _check_generator(self) -> None:
        if bool(self.generator) != (self.method == "generate"):
            raise BadInput(
                f"generator is {self.generator!r} and method {self.method}: generate needs the folder of a decoder, "
                "and no other method has one."
            )
