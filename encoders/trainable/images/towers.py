"""The two towers: a vision transformer that gives a state a patch, and a text encoder that gives one a token."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retr.encoders.images.pixels import Pixels
from retr.encoders.on_torch.silence import silent
from retr.encoders.reading.folder import max_tokens, read_json, reading
from retr.encoders.reading.safetensors_file import weight_files
from retr.encoders.reading.tokenizing import read_tokenizer
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.rows import padded
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError

TOGETHER = ("clip", "siglip")
"""`model_type` of folders that hold both towers."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageTower:
    """A vision model of transformers; `front` tokens stand before those of the patches, which lie row by row."""

    model: Any
    pixels: Pixels
    patch: int
    front: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.pixels.height // self.patch, self.pixels.width // self.patch

    @property
    def tokens(self) -> int:
        """Of one image, those before the patches included."""
        return self.grid[0] * self.grid[1] + self.front

    @property
    def dim(self) -> int:
        """Numbers of a patch's state."""
        return int(self.model.config.hidden_size)

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """[images, patches, dim] of [images, 3, height, width]: the last states, normed, without those before them."""
        return self._states(pixels)[0][:, self.front :]

    def whole(self, pixels: torch.Tensor) -> torch.Tensor:
        """[images, dim]: the state of the token in front, or what the model itself pools."""
        states, pooled = self._states(pixels)
        if self.front:
            return states[:, 0]
        return states.mean(1) if pooled is None else pooled

    def save(self, folder: Path) -> None:
        """Write config, weights as safetensors, and how images are read."""
        folder.mkdir(parents=True, exist_ok=True)
        with silent():
            self.model.save_pretrained(str(folder))
        self.pixels.write(folder)

    def _states(self, pixels: torch.Tensor) -> tuple[torch.Tensor, Any]:
        found = self.model(pixel_values=pixels.to(self.model.device))
        states: torch.Tensor = found.last_hidden_state
        if self.model.config.model_type == "clip_vision_model":  # transformers norms the first token's state alone.
            states = self.model.post_layernorm(states)
        return states, getattr(found, "pooler_output", None)


@dataclass(frozen=True, slots=True, eq=False)
class TextTower:
    """A text encoder. SigLIP's reads texts filled up to its length, and sees the filling."""

    backbone: Backbone

    @property
    def dim(self) -> int:
        """Numbers of a token's state."""
        return self.backbone.dim

    @property
    def filled(self) -> bool:
        """Whether texts are filled up to the model's length."""
        return self._kind == "siglip_text_model"

    def states(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """[texts, longest or more, dim]; what stands in the padding means nothing."""
        if not self.filled:
            return self.backbone.states(ids)
        width = self.backbone.max_tokens
        whole = [[*row, *[self.backbone.fill] * (width - len(row))] for row in ids]
        states: torch.Tensor = self.backbone.model(padded(whole).to(self.backbone.device)).last_hidden_state
        return states

    def whole(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """[texts, dim]: the last token's state for CLIP, what its head makes of it for SigLIP, else the first's."""
        states = self.states(ids)
        last = torch.tensor([states.shape[1] if self.filled else len(row) for row in ids], device=states.device) - 1
        return self.pooled(states, states[torch.arange(len(ids), device=states.device), last])

    def pooled(self, states: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """[texts, dim] of states and, of each text, the last one."""
        if self.filled:
            pooled: torch.Tensor = self.backbone.model.head(last)
            return pooled
        return last if self._kind == "clip_text_model" else states[:, 0]

    def save(self, folder: Path) -> None:
        """Write config, weights as safetensors, and the tokenizer."""
        self.backbone.save(folder)

    @property
    def _kind(self) -> str:
        return str(self.backbone.model.config.model_type)


def open_together(folder: Path, running: BackboneSettings) -> tuple[ImageTower, TextTower, Any]:
    """The towers of a CLIP or SigLIP folder, and the whole model, whose projections and scale may be wanted."""
    model = _load(folder, running)
    config = read_json(folder / "config.json")
    text = model.text_model.config
    positions = {"max_position_embeddings": text.max_position_embeddings}
    most = max_tokens(folder, positions, running.max_tokens or None)
    most = int(text.max_position_embeddings) if config["model_type"] == "siglip" else most
    tokenizer, _ = read_tokenizer(folder, most)
    inputs = frozenset({"input_ids", "attention_mask"})
    backbone = Backbone(model.text_model, tokenizer, folder, most, inputs)
    return _image_tower(model.vision_model, folder), _text_tower(backbone), model


def open_text_tower(folder: Path, running: BackboneSettings) -> TextTower:
    """The text encoder of a folder; BadInput for one that gives a text other states beside a longer one."""
    return _text_tower(open_backbone(folder, running))


def open_image_tower(folder: Path, running: BackboneSettings) -> ImageTower:
    """The vision transformer of a folder, or of a CLIP or SigLIP folder its image half."""
    model = _load(folder, running)
    return _image_tower(getattr(model, "vision_model", model), folder)


def _text_tower(backbone: Backbone) -> TextTower:
    tower = TextTower(backbone)
    if not tower.filled:
        prove_padding(backbone)
    return tower


def _image_tower(model: Any, folder: Path) -> ImageTower:
    config = model.config
    size, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    if not isinstance(size, int) or not isinstance(patch, int) or not hasattr(config, "hidden_size"):
        raise BadInput(f"{type(model).__name__} of {folder} has no square patches. Take a ViT, or CLIP's or SigLIP's.")
    with reading(folder):
        pixels = Pixels.read(folder, size)
    if (pixels.height, pixels.width) != (size, size):
        raise Damaged(
            f"{folder} reads images of {pixels.height} x {pixels.width}, and its model wants {size} x {size}."
        )
    tower = ImageTower(model, pixels, patch, 0)
    with torch.no_grad():
        found = tower._states(torch.zeros(1, 3, size, size))[0]
    front = found.shape[1] - tower.tokens
    if found.ndim != 3 or front < 0:
        raise BadInput(f"{type(model).__name__} of {folder} gives no state a patch. Take a ViT, or CLIP's or SigLIP's.")
    return ImageTower(model, pixels, patch, front)


def _load(folder: Path, running: BackboneSettings) -> Any:
    """transformers' model in float32: safetensors alone, and no code of the folder is run."""
    from transformers import AutoModel

    if not (folder / "config.json").is_file() or not weight_files(folder):
        raise NotFound(f"{folder} lacks config.json or safetensors. Give a folder that transformers saved.")
    try:
        with silent():
            model, report = AutoModel.from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                attn_implementation=None if running.attention == "auto" else running.attention,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RetrError(f"transformers cannot load {folder}: {reason}") from None
    absent = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if absent:
        raise Damaged(f"{folder} lacks {len(absent)} weights, such as {absent[0]!r}. Get the folder again.")
    return model.to(torch.device(running.device))
