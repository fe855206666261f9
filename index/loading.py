"""The encoders of a collection, loaded when they are first needed, and the questions that they have read before."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retr.index.disk.manifest import EncoderFacts, Manifest
from retr.index.remembering import QueryVectors
from retr.index.writing.creation import given, make_chunker, narrowest
from retr.index.writing.stored import stored, stored_tokens
from retr.retrieval.chunking import Chunker, ChunkSettings
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.pictures import Picture
from retr.retrieval.protocols import Encoder, ReadsImages

NO_TOKENS = "This collection has no token vectors. Make an index with --encoder late=FOLDER, or --late late=FOLDER."
NO_IMAGES = "This collection has no encoder that reads images. Make an index with --encoder filip=FOLDER."

LoadEncoder = Callable[[str], Encoder]
"""A spec, as the manifest names it, to the encoder."""


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """An encoder, what it was loaded for, and what it has encoded before."""

    encoder: Encoder
    wanted: tuple[str, int | None, int]
    remembered: QueryVectors = field(default_factory=QueryVectors)


class Encoders:
    """What reads a collection's texts. Each call names the generation: `retr reindex` gives the next one others.

    `late` loads the late encoder where one stands beside an encoder of passages; without it `load` does.
    """

    def __init__(self, folder: Path | str, load: LoadEncoder, late: LoadEncoder | None = None) -> None:
        self._folder, self._load, self._load_late = folder, load, late or load
        self._held: dict[str, _Held] = {}
        self._cut: tuple[Encoder | None, Chunker] | None = None

    def dense(self, manifest: Manifest) -> Encoder:
        """The one that gives a vector a passage; Mismatch when what loads today is another one."""
        return self._of_passages(manifest).encoder

    def late(self, manifest: Manifest) -> Encoder:
        """The one that gives a vector a token; Mismatch when what loads today is another one."""
        return self._of_tokens(manifest).encoder

    def main(self, manifest: Manifest) -> Encoder:
        """The first of the two that there is. BadInput where there is none."""
        if manifest.encoder is None and manifest.late is not None:
            return self.late(manifest)
        return self.dense(manifest)

    def chunker(self, manifest: Manifest) -> Chunker:
        """Cuts by the tokens of the encoder that reads least of a text."""
        encoders = [self.dense(manifest)] if manifest.encoder is not None else []
        encoders += [self.late(manifest)] if manifest.late is not None else []
        reader = narrowest(encoders)
        if self._cut is None or self._cut[0] is not reader:
            self._cut = reader, make_chunker(ChunkSettings(**manifest.settings["chunk"]), reader)
        return self._cut[1]

    def query_vectors(self, manifest: Manifest, texts: Sequence[str]) -> Vectors:
        """The queries' vectors, float32 [texts, dim]; those asked before are not encoded again."""
        held, facts, dim = self._of_passages(manifest), manifest.encoder, manifest.dim
        assert facts is not None and dim is not None

        def encode(missing: list[str]) -> Floats:
            vectors = held.encoder.encode_queries(missing)
            if not isinstance(vectors, Vectors):
                raise Mismatch("The encoder gives one vector a token; this collection holds one a text.")
            return stored(vectors, facts, dim)

        return Vectors(held.remembered.of(texts, encode))

    def query_tokens(self, manifest: Manifest, texts: Sequence[str]) -> TokenVectors:
        """The vectors of the queries' tokens; those asked before are not encoded again."""
        held, facts = self._of_tokens(manifest), manifest.late
        assert facts is not None
        each = held.remembered.each(
            texts, lambda missing: list(stored_tokens(held.encoder.encode_queries(missing), facts))
        )
        offsets = np.cumsum([0, *(len(one) for one in each)]).astype(np.int64)
        return TokenVectors(np.concatenate([np.empty((0, facts.dim), np.float32), *each]), offsets)

    def picture_vectors(self, manifest: Manifest, kind: str, pictures: Sequence[Picture]) -> Embeddings:
        """The vectors of pictures, or with the kind `late` of their patches. BadInput where no encoder reads them."""
        encoder = self.late(manifest) if kind == "late" else self.dense(manifest)
        if not isinstance(encoder, ReadsImages):
            raise BadInput(NO_IMAGES)
        found = encoder.encode_images(pictures)
        if kind == "late":
            assert manifest.late is not None
            return stored_tokens(found, manifest.late)
        assert manifest.encoder is not None and manifest.dim is not None
        return Vectors(stored(found, manifest.encoder, manifest.dim))

    def _of_passages(self, manifest: Manifest) -> _Held:
        if manifest.encoder is None:
            if manifest.late is not None:
                raise BadInput(f"{manifest.without_vectors} Use --mode late.")
            raise BadInput(
                "This collection has no encoder: it was made with --encoder none and answers --mode lexical."
            )
        return self._of("dense", manifest.encoder, manifest.dim, self._load)

    def _of_tokens(self, manifest: Manifest) -> _Held:
        if manifest.late is None:
            raise BadInput(NO_TOKENS)
        load = self._load if manifest.encoder is None else self._load_late
        return self._of("late", manifest.late, manifest.late.dim, load)

    def _of(self, kind: str, facts: EncoderFacts, dim: int | None, load: LoadEncoder) -> _Held:
        # Threads of a model runtime do not survive a fork: a child loads its own.
        wanted, held = (facts.fingerprint, dim, os.getpid()), self._held.get(kind)
        if held is None or held.wanted != wanted:
            held = self._held[kind] = _Held(self._checked(facts, load), wanted)
        return held

    def _checked(self, facts: EncoderFacts, load: LoadEncoder) -> Encoder:
        encoder = given(facts) or self._loaded(facts, load)
        if encoder.fingerprint != facts.fingerprint or encoder.dim != facts.dim:
            raise Mismatch(
                f"The index {str(self._folder)!r} was made with {facts.spec} (fingerprint {facts.fingerprint[:12]}, "
                f"dim {facts.dim}); the encoder given has fingerprint {encoder.fingerprint[:12]}, dim {encoder.dim}. "
                "Use the encoder it was made with, or make a new index."
            )
        if facts.reads_images and not isinstance(encoder, ReadsImages):
            raise Mismatch(f"{facts.spec} reads images, and the encoder given does not. Use the one it was made with.")
        return encoder

    def _loaded(self, facts: EncoderFacts, load: LoadEncoder) -> Encoder:
        kind, equals, source = facts.spec.rpartition("=") if "=" in facts.spec else ("", "", facts.spec)
        try:
            return load(facts.spec)
        except NotFound as error:
            if repr(source) not in str(error) or Path(source).expanduser().is_absolute():
                raise
            near = self._near(source)
            if near is not None:
                return load(f"{kind}{equals}{near}")
            raise NotFound(
                f"{error} So the index {str(self._folder)!r} names its encoder: a path is taken from the folder that a "
                "command runs in, or else from one that the index lies in. Run it where the index was made, or move "
                "the encoder beside the index."
            ) from None

    def _near(self, source: str) -> Path | None:
        """A relative path as it is taken from the folders that the index lies in, the nearest first."""
        if not isinstance(self._folder, Path):
            return None
        return next((at / source for at in self._folder.resolve().parents if (at / source).is_dir()), None)
