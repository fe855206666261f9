"""What a user may choose about a collection: fixed when it is made, or given with each call."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from retr.index.dense.settings import DenseSettings
from retr.index.late.settings import Effort, LateSettings
from retr.index.lexical.languages import check_language
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.filters import Filter
from retr.retrieval.fusion import METHODS

Mode = Literal["hybrid", "dense", "lexical", "late"]
Group = Literal["document", "passage"]


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """Chosen when a collection is made: how texts are cut, the language of the stemmer (or none), how vectors are
    stored and searched, and how token vectors are; only the last two can change later."""

    chunk: ChunkSettings = field(default_factory=ChunkSettings)
    language: str = "english"
    dense: DenseSettings = field(default_factory=DenseSettings)
    late: LateSettings = field(default_factory=LateSettings)

    def __post_init__(self) -> None:
        check_language(self.language)


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """When an `add` encodes and commits: what is committed survives a crash, each commit costs a few files.

    `on_duplicate` says what becomes of an id that comes twice in one `add`, and `on_refused` of a document that the
    store cannot hold, such as one with a NUL character in PostgreSQL; `mirror` removes the documents that did
    not come, so that the collection holds what was given and nothing else. `merge` lets small segments be joined as
    they become many. `wait_seconds` is how long to wait for another writer to finish. `commit_token_bytes` bounds the
    memory that token vectors take before they are coded.
    """

    encode_passages: int = 512
    commit_passages: int = 131_072
    commit_characters: int = 64 << 20
    commit_token_bytes: int = 256 << 20
    commit_seconds: float = 30.0
    on_duplicate: Literal["fail", "skip"] = "fail"
    on_refused: Literal["fail", "skip"] = "fail"
    mirror: bool = False
    merge: bool = True
    wait_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("encode_passages", "commit_passages", "commit_characters", "commit_token_bytes"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1; got {getattr(self, name)}.")
        check_wait(self.wait_seconds)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How a search is done.

    `where` is a filter in the language of `--where`, or a tree of `retr.retrieval.filters`, which has no limit of size.
    `hybrid` is words and vectors: those of passages where there are some, else those of tokens. `depth` candidates of
    each kind are fused; `group` says whether one document may appear with several passages; `weights` are those of
    vectors and of words; `rerank_depth` hits are handed to the reranker. `exact` scores every vector, whatever the kind
    of index. `candidates` passages are scored by all their tokens in late interaction; left out, 1,024 or 50 a hit.
    """

    mode: Mode = "hybrid"
    where: str | Filter | None = None
    group: Group = "document"
    fusion: str = "rrf"
    weights: tuple[float, float] = (1.0, 1.0)
    depth: int = 100
    rerank_depth: int = 50
    explain: bool = False
    exact: bool = False
    candidates: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise unknown("search mode", str(self.mode), get_args(Mode))
        if self.group not in get_args(Group):
            raise unknown("grouping", str(self.group), get_args(Group))
        if self.fusion not in METHODS:
            raise unknown("fusion method", self.fusion, METHODS)
        if len(self.weights) != 2 or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise BadInput(f"weights must be two numbers of at least 0, not both 0; got {self.weights}.")
        _ = self.effort
        for name in ("depth", "rerank_depth"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1; got {getattr(self, name)}.")

    @property
    def effort(self) -> Effort:
        """How much a search of token vectors does. BadInput for a number of candidates that is none."""
        return Effort(self.candidates)


def check_wait(seconds: float) -> float:
    """The seconds to wait for another writer themselves, or BadInput."""
    if not 0 <= seconds < float("inf"):
        raise BadInput(f"The seconds to wait for another writer must be a number of at least 0; got {seconds}.")
    return seconds


def check_k(k: int) -> int:
    """The number of hits itself, or BadInput."""
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 100_000:
        raise BadInput(f"k must be a whole number from 1 to 100000; got {k!r}.")
    return k
