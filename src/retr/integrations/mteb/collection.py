"""A whole collection as MTEB's SearchProtocol: each task's corpus is indexed, and its queries are searched in it."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from retr import opening
from retr.index.collection import Collection
from retr.index.disk.manifest import holds_index
from retr.index.settings import CollectionSettings, SearchSettings, WriteSettings
from retr.integrations.mteb.facts import Facts, name_of
from retr.integrations.mteb.texts import document_of, query_of
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.filters import And, Field, Filter, In, parse
from retr.retrieval.protocols import Encoder, Scorer, TokenAware
from retr.retrieval.records import Document

PLACE = "place"
"""The metadata field with a document's place in its corpus: the candidates of a reranking task are named by it."""

QUERIES_AT_ONCE = 256
KINDS = {"hybrid": "hybrid", "dense": "dense", "lexical": "sparse", "late": "late-interaction"}
"""The mode of a search to MTEB's word for the type of model."""


class MtebCollection:
    """Give it to `mteb.evaluate` with retrieval and reranking tasks.

    Long documents are cut into passages, and a document is as good as its best one. Without a `folder`, the index of a
    task is a temporary one; with it, each corpus has its own index in the folder, and the next run encodes only what
    has changed.
    """

    def __init__(
        self,
        encoder: str | Encoder | None = opening.DEFAULT_ENCODER,
        *,
        settings: CollectionSettings | None = None,
        search: SearchSettings | None = None,
        rerank: Scorer | None = None,
        folder: str | Path | None = None,
        name: str = "",
    ) -> None:
        """`encoder` None makes collections that are lexical alone; `rerank` orders the first `search.rerank_depth`."""
        self._spec = encoder if isinstance(encoder, str) else ""
        self._encoder = opening.load_encoder(encoder) if isinstance(encoder, str) else encoder
        self._settings = settings or CollectionSettings()
        self._search = _checked(search or SearchSettings(), self._encoder)
        self._scorer = rerank
        self._folder = None if folder is None else Path(folder)
        self._name = name
        self._forget: Callable[[], object] = tuple
        self._collection: Collection | None = None
        self._places: dict[str, int] = {}

    @classmethod
    def like(
        cls,
        path: str | Path,
        *,
        search: SearchSettings | None = None,
        rerank: Scorer | None = None,
        folder: str | Path | None = None,
        name: str = "",
    ) -> Self:
        """With the encoder and the settings of the collection at `path`, whose documents are not looked at."""
        model = opening.open(path)
        manifest = model.manifest
        settings = CollectionSettings(
            ChunkSettings(**manifest.settings["chunk"]), str(manifest.settings["language"]), manifest.dense
        )
        encoder = model.encoder if manifest.encoders else None
        made = cls(encoder, settings=settings, search=search, rerank=rerank, folder=folder, name=name)
        made._spec = manifest.encoders[0].spec if manifest.encoders else ""
        return made

    @property
    def mteb_model_meta(self) -> Any:
        """As `mteb.ModelMeta`; the revision is made from the encoder, the scorer and all settings."""
        encoder, scorer, mode = self._encoder, self._scorer, self._search.mode
        chosen = {"mode": mode, **({} if scorer is None else {"rerank": name_of(scorer)})}
        parts = [mode, *([] if encoder is None else [name_of(encoder)]), *([] if scorer is None else [name_of(scorer)])]
        return Facts(
            name=self._name or "-".join(parts),
            identity={
                "encoder": None if encoder is None else encoder.fingerprint,
                "scorer": None if scorer is None else scorer.fingerprint,
                "settings": asdict(self._settings),
                "search": asdict(self._search),
            },
            kind=KINDS[mode],
            dim=None if encoder is None else self._settings.dense.dim or encoder.dim,
            max_tokens=encoder.max_tokens if isinstance(encoder, TokenAware) else None,
            similarity=None if encoder is None else encoder.similarity,
            settings=chosen,
        ).to_meta()

    def index(
        self,
        corpus: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any = None,
        hf_split: str = "",
        hf_subset: str = "",
        **rest: Any,
    ) -> None:
        """Index the rows `id`, `text` and perhaps `title`; the title is searched with each passage.

        Rows without text or title are left out, and of an id that comes twice the first is kept. What was indexed in
        the same place before and is not in this corpus is removed.
        """
        folder = self._place([getattr(task_metadata, "name", "") or "corpus", hf_split, hf_subset])
        if holds_index(folder):
            self._collection = opening.open(folder, encoder=self._encoder)
        else:
            self._collection = Collection.create(
                folder, encoder=self._encoder, spec=self._spec, settings=self._settings
            )
        self._places = {}
        self._collection.add(self._placed(corpus), settings=WriteSettings(on_duplicate="skip", mirror=True))

    def _placed(self, corpus: Iterable[Mapping[str, Any]]) -> Iterator[Document]:
        for row in corpus:
            if (document := document_of(row)) is not None:
                place = self._places.setdefault(document.id, len(self._places))
                yield replace(document, metadata={PLACE: place})

    def search(
        self,
        queries: Iterable[Mapping[str, Any]],
        *,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **rest: Any,
    ) -> dict[str, dict[str, float]]:
        """{query id: {document id: score}}, at most `top_k` documents; with `top_ranked`, of those listed there alone.

        A query without a word finds nothing. BadInput before `index`.
        """
        texts = {str(row["id"]): query_of(row) for row in queries}
        found: dict[str, dict[str, float]] = {id: {} for id in texts}
        asked = [id for id, text in texts.items() if text.strip()]
        if top_ranked is None:
            for start in range(0, len(asked), QUERIES_AT_ONCE):
                part = asked[start : start + QUERIES_AT_ONCE]
                answers = self._answers([texts[id] for id in part], top_k, self._search)
                found.update(zip(part, answers, strict=True))
            return found
        for id in asked:
            if places := [self._places[one] for one in top_ranked.get(id, ()) if one in self._places]:
                within = replace(self._search, where=_within(places, self._search.where))
                found[id] = self._answers([texts[id]], top_k, within)[0]
        return found

    def _answers(self, texts: list[str], k: int, settings: SearchSettings) -> list[dict[str, float]]:
        if self._collection is None:
            raise BadInput("No corpus is indexed yet. Call index() first; mteb.evaluate does.")
        answers = self._collection.search_many(texts, k, settings=settings, rerank=self._scorer)
        return [{hit.id: hit.score for hit in hits} for hits in answers]

    def _place(self, parts: Sequence[str]) -> Path:
        """A folder for this corpus: the same one for the same corpus and settings, or a new temporary one."""
        if self._folder is None:
            self._forget()
            folder = Path(tempfile.mkdtemp(prefix="retr-mteb-"))
            self._forget = weakref.finalize(self, _remove, folder)
            return folder
        made_of = {
            "encoder": None if self._encoder is None else self._encoder.fingerprint,
            "settings": asdict(self._settings),
        }
        words = ["".join(letter if letter.isalnum() else "_" for letter in part) for part in parts if part]
        return self._folder / "-".join([*words, Facts("", made_of, "").revision])


def _checked(search: SearchSettings, encoder: Encoder | None) -> SearchSettings:
    """One hit a document, as runs need; without an encoder, lexical."""
    if encoder is None and search.mode == "dense":
        raise BadInput("The search mode is 'dense', but no encoder is given. Give one, or use the mode 'lexical'.")
    return replace(search, group="document", mode="lexical" if encoder is None else search.mode)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _within(places: Sequence[int], where: str | Filter | None) -> Filter:
    """The filter that lets the documents at these places pass, and of them those that pass `where`."""
    listed = In(Field((PLACE,)), tuple(places))
    if where is None:
        return listed
    return And((parse(where) if isinstance(where, str) else where, listed))
