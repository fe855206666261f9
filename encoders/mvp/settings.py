"""What an MVP reranker is told of itself, in training and in serving alike."""

from dataclasses import dataclass

from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class MVPSettings:
    """How many views of a candidate there are, and how many tokens of query and candidate are read together.

    `query_tokens` are the query's share at most, its word `Query:` among them; 0 is half of `max_tokens`.
    """

    views: int = 4
    max_tokens: int = 256
    query_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse no views, and lengths that leave no token for the candidate."""
        if self.views < 1:
            raise BadInput(f"views is {self.views}; give at least 1.")
        if self.max_tokens < self.views + 8:
            raise BadInput(f"max_tokens is {self.max_tokens}; give at least {self.views + 8} with {self.views} views.")
        if not 0 <= self.query_tokens <= self.max_tokens - self.views - 4:
            raise BadInput(
                f"query_tokens is {self.query_tokens}; give at most {self.max_tokens - self.views - 4}, so that "
                "something of the candidate is read, or 0 for half of max_tokens."
            )

    @property
    def query_share(self) -> int:
        """Tokens of the query at most."""
        return self.query_tokens or self.max_tokens // 2 - self.views

    @property
    def comparable(self) -> bool:
        """Never: a candidate's score depends on the others of its list."""
        return False
