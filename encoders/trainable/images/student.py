"""A model of images and texts that learns: a vector a patch and a word (FILIP), or one each as the baseline (CLIP)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import torch
from torch.nn.functional import normalize, pad

from retr.encoders.images.networks import HEADS, IMAGE, KIND, TEXT
from retr.encoders.images.pixels import read_images
from retr.encoders.reading.tokenizing import check_list, token_ids
from retr.encoders.trainable.images.both_ways import both_ways
from retr.encoders.trainable.images.towers import ImageTower, TextTower
from retr.encoders.trainable.maxsim import TokenTensors
from retr.encoders.trainable.parts import write_parts
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.student import check_groups
from retr.retrieval.errors import BadInput

LARGEST_SCALE = 100.0
"""Similarities are never multiplied by more (Radford et al. 2021, section 2.5)."""

Interaction = Literal["tokens", "global"]


class Heads(torch.nn.Module):
    """A projection of each tower's states, and the logarithm of what similarities are multiplied by."""

    def __init__(self, widths: tuple[int, int], dim: int, log_scale: torch.Tensor) -> None:
        """Without projections where `dim` is 0: the states themselves are compared."""
        super().__init__()
        image, text = widths
        self.image: torch.nn.Module = torch.nn.Linear(image, dim, bias=False) if dim else torch.nn.Identity()
        self.text: torch.nn.Module = torch.nn.Linear(text, dim, bias=False) if dim else torch.nn.Identity()
        self.log_scale = torch.nn.Parameter(log_scale)

    def scales(self) -> tuple[torch.Tensor, torch.Tensor]:
        """By how much similarities of image to text and of text to image are multiplied: 1 / temperature."""
        scales = self.log_scale.exp().clamp(max=LARGEST_SCALE)
        return scales[0], scales[-1]


class ImageTextModule(torch.nn.Module):
    """All that learns."""

    def __init__(self, image: torch.nn.Module, text: torch.nn.Module, heads: Heads) -> None:
        super().__init__()
        self.image, self.text, self.heads = image, text, heads


@dataclass(frozen=True, slots=True, eq=False)
class ImageTextStudent:
    """A `Student` whose queries are captions and whose documents are paths of images below `images`.

    With the interaction `tokens` it compares token by token and has no vector of a whole text or image; with `global`
    each is one vector, which stands for one token.
    """

    module: ImageTextModule
    image: ImageTower
    text: TextTower
    images: Path
    interaction: Interaction

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.text.backbone.device

    @property
    def heads(self) -> Heads:
        """Projections and scales."""
        return self.module.heads

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        head = self.heads.text
        return int(head.out_features) if isinstance(head, torch.nn.Linear) else self.text.dim

    def read_texts(self, texts: Sequence[str]) -> TokenTensors:
        """The vectors of each text's tokens, beginning and end included, or of the text as one; of unit length."""
        check_list(texts)
        ids = [row.tolist() for row in token_ids(self.text.backbone.tokenizer, texts, "").ids]
        if self.interaction == "global":
            return _single(in_passes([*map(len, ids)], self.device, lambda rows: self._texts(ids, rows)))
        longest = max(map(len, ids), default=0)
        kept = torch.tensor([[at < len(row) for at in range(longest)] for row in ids], dtype=torch.bool)

        def work(rows: list[int]) -> torch.Tensor:
            if not rows:
                return torch.zeros(0, longest, self.dim, device=self.device)
            states = self.text.states([ids[row] for row in rows])[:, :longest]
            return pad(normalize(self.heads.text(states), dim=2), (0, 0, 0, longest - states.shape[1]))

        return TokenTensors(in_passes([*map(len, ids)], self.device, work), kept.to(self.device))

    def read_images(self, paths: Sequence[str]) -> TokenTensors:
        """The vectors of each image's patches, or of the image as one; of unit length. Errors as `read_images`."""
        check_list(paths)
        rows, columns = self.image.grid
        lengths = [self.image.tokens] * len(paths)
        if self.interaction == "global":
            return _single(in_passes(lengths, self.device, lambda group: self._images(paths, group)))
        found = in_passes(lengths, self.device, lambda group: self._images(paths, group))
        kept = torch.ones(len(paths), rows * columns, dtype=torch.bool, device=self.device)
        return TokenTensors(found, kept)

    def read_patches(self, paths: Sequence[str]) -> TokenTensors:
        """Patches through the images' projection, whichever the interaction is: to see where a model looks."""
        with torch.no_grad():
            found = in_passes([self.image.tokens] * len(paths), self.device, lambda group: self._patches(paths, group))
        return TokenTensors(found, torch.ones(found.shape[:2], dtype=torch.bool, device=self.device))

    def read_words(self, texts: Sequence[str]) -> TokenTensors:
        """Tokens through the texts' projection, whichever the interaction is."""
        with torch.no_grad():
            return _with_tokens(self).read_texts(texts)

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim] of captions; BadInput where the interaction is `tokens`."""
        self._need_global(texts)
        return self.read_texts(texts).vectors[:, 0]

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """[images, dim] of paths; BadInput where the interaction is `tokens`."""
        self._need_global(texts)
        return self.read_images(texts).vectors[:, 0]

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each caption its likeness, text to image, with [its images]; equal paths are read once."""
        check_groups(queries, candidates)
        known = {path: row for row, path in enumerate(dict.fromkeys(chain.from_iterable(candidates)))}
        if not known:
            return [torch.zeros(0, device=self.device) for _ in queries]
        found = both_ways(self.read_images(list(known)), self.read_texts(queries))[1]
        return [found[[known[path] for path in paths], row] for row, paths in enumerate(candidates)]

    def save(self, folder: Path) -> None:
        """Write the towers as transformers does, each into a folder of its own, and heads.safetensors and retr.json."""
        self.image.save(folder / IMAGE)
        self.text.save(folder / TEXT)
        write_heads(folder, self.heads, self.interaction)

    def _images(self, paths: Sequence[str], group: list[int]) -> torch.Tensor:
        if self.interaction == "tokens":
            return self._patches(paths, group)
        if not group:
            return torch.zeros(0, self.dim, device=self.device)
        found: torch.Tensor = self.heads.image(self.image.whole(self._pixels(paths, group)))
        return normalize(found, dim=1)

    def _patches(self, paths: Sequence[str], group: list[int]) -> torch.Tensor:
        if not group:
            return torch.zeros(0, self.image.grid[0] * self.image.grid[1], self.dim, device=self.device)
        found: torch.Tensor = self.heads.image(self.image.patches(self._pixels(paths, group)))
        return normalize(found, dim=2)

    def _pixels(self, paths: Sequence[str], group: list[int]) -> torch.Tensor:
        return torch.from_numpy(read_images([paths[row] for row in group], self.images, self.image.pixels))

    def _texts(self, ids: list[list[int]], group: list[int]) -> torch.Tensor:
        if not group:
            return torch.zeros(0, self.dim, device=self.device)
        found: torch.Tensor = self.heads.text(self.text.whole([ids[row] for row in group]))
        return normalize(found, dim=1)

    def _need_global(self, texts: Sequence[str]) -> None:
        if self.interaction != "global":
            raise BadInput(
                f"A filip model that compares tokens has no single vector; it was given {len(texts)} texts or images. "
                'Use the objective filip, or interaction = "global" in [student].'
            )


def write_heads(folder: Path, heads: Heads, interaction: Interaction) -> None:
    """heads.safetensors, and what retr.json says of the model."""
    dim = int(heads.text.out_features) if isinstance(heads.text, torch.nn.Linear) else 0
    table = {"kind": KIND, "interaction": interaction, "dim": dim, "scales": len(heads.log_scale)}
    write_parts(folder / HEADS, heads.state_dict(), {KIND: table})


def _single(vectors: torch.Tensor) -> TokenTensors:
    """One vector each, as one token each."""
    return TokenTensors(vectors[:, None], torch.ones(len(vectors), 1, dtype=torch.bool, device=vectors.device))


def _with_tokens(student: ImageTextStudent) -> ImageTextStudent:
    return ImageTextStudent(student.module, student.image, student.text, student.images, "tokens")
