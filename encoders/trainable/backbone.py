"""A transformers encoder of a folder, run on padded texts or on rows with masks, positions and segments of our own."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from retr.encoders.exporting.layout import copy_model
from retr.encoders.on_torch.probe import first_position
from retr.encoders.on_torch.silence import silent
from retr.encoders.reading.folder import max_tokens, read_json
from retr.encoders.reading.safetensors_file import weight_files
from retr.encoders.reading.tokenizing import read_tokenizer
from retr.encoders.trainable.masks import Layout, additive
from retr.encoders.trainable.rows import end_to_end, padded
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError

Attention = Literal["auto", "sdpa", "eager"]
"""`auto` is SDPA for the models that have it."""


@dataclass(frozen=True, slots=True)
class BackboneSettings:
    """How a model's folder is opened. 0 stands for what the folder says: its length, and all of its layers.

    `dropout` replaces every one that the model's config has; without it they are as the folder says.
    """

    attention: Attention = "auto"
    device: str = "cpu"
    max_tokens: int = 0
    layers: int = 0
    dropout: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.attention not in get_args(Attention):
            raise BadInput(f"attention is {', '.join(get_args(Attention))}; got {self.attention!r}.")
        for name in ("max_tokens", "layers"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} is {getattr(self, name)}; give at least 1, or 0 for what the folder says.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise BadInput(f"dropout is {self.dropout}; give a number from 0 to below 1.")


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A transformers model and its tokenizer, which cuts at `max_tokens` and does not pad.

    `first` is the number that its positions begin with, and None until `canary.prove_masks` has found it. `packed` is
    the same for texts end to end, and None where they are padded.
    """

    model: Any
    tokenizer: Any
    folder: Path
    max_tokens: int
    inputs: frozenset[str]
    lowercase: bool = False
    first: int | None = None
    packed: int | None = None

    @property
    def name(self) -> str:
        """transformers' name of the model's class."""
        return type(self.model).__name__

    @property
    def dim(self) -> int:
        """Numbers of a token's state."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    @property
    def fill(self) -> int:
        """The token that fills up rows."""
        return int(self.model.config.pad_token_id or 0)

    def run(self, ids: Sequence[Sequence[int]], segments: Sequence[Sequence[int]] | None = None) -> Any:
        """transformers' own answer for texts side by side, the mask [texts, longest] being that of their padding."""
        given = {"input_ids": padded(ids, self.fill), "attention_mask": padded([[1] * len(row) for row in ids])}
        if segments is not None and self.segments > 1:
            given["token_type_ids"] = padded(segments)
        return self.model(**{name: tensor.to(self.device) for name, tensor in given.items()})

    def states(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """[texts, longest, dim] of texts side by side; what stands in the padding means nothing."""
        if self.packed is not None and self.device.type == "cpu" and all(ids):
            return end_to_end(self.model, ids, self.packed, segments=self.segments > 0)
        states: torch.Tensor = self.run(ids).last_hidden_state
        return states

    def masked_states(self, ids: torch.Tensor, layout: Layout, **given: Any) -> torch.Tensor:
        """[rows, L, dim] of rows of tokens int64 [rows, L], each token seeing what the layout lets it."""
        if self.first is None:
            raise BadInput(f"It was not tried whether {self.name} keeps to a mask. Call prove_masks first.")
        inputs = {"input_ids": ids, "position_ids": layout.positions + self.first, "attention_mask": self._mask(layout)}
        if self.segments > 1:
            inputs["token_type_ids"] = layout.segments
        states: torch.Tensor = self.model(**inputs, **given).last_hidden_state
        return states

    @property
    def segments(self) -> int:
        """How many kinds of segments the model knows."""
        known = getattr(self.model.config, "type_vocab_size", 0) or 0
        return int(known) if "token_type_ids" in self.inputs else 0

    @property
    def longest(self) -> int:
        """Positions that the model has for one text."""
        return int(self.model.config.max_position_embeddings) - (self.first or 0)

    def starting_at(self, first: int) -> "Backbone":
        """The same model, its positions known to begin with `first`."""
        return replace(self, first=first)

    def packing(self) -> "Backbone":
        """The same model, which from now on takes texts end to end on a CPU, if it gives each what it gives it alone.

        From now on it uses transformers' attention function `retr_packed`, which is SDPA for padded texts.
        """
        return replace(self, packed=first_position(self.model))

    def save(self, folder: Path) -> None:
        """Write config, weights as safetensors, and tokenizer, as transformers does."""
        folder.mkdir(parents=True, exist_ok=True)
        copy_model(self.folder, folder, weights=False)
        with silent():
            self.model.save_pretrained(str(folder))

    def _mask(self, layout: Layout) -> Any:
        """The additive mask; for a model with windows one for each kind of layer, the distance being of positions."""
        mask = layout.mask.to(self.model.dtype)
        if "sliding_attention" not in (getattr(self.model.config, "layer_types", None) or ()):
            return mask
        seen = layout.positions if layout.seen is None else layout.seen
        reach = (layout.positions[:, :, None] - seen[:, None, :]).abs() <= self.model.config.sliding_window
        near = torch.minimum(mask, additive(reach, mask.dtype)[:, None])
        return {"full_attention": mask, "sliding_attention": near}


def open_backbone(
    folder: Path,
    settings: BackboneSettings | None = None,
    *,
    classifier: bool = False,
    named: Callable[[str], str] | None = None,
) -> Backbone:
    """The model of a folder in float32: safetensors alone, and no code of the folder is run.

    With `classifier` a model of one label; where the folder holds none, its head begins at random from the seed.
    `named` gives transformers' name of a weight for the one in the folder's files.
    """
    settings = settings or BackboneSettings()
    if not (folder / "config.json").is_file():
        raise NotFound(f"{folder} has no config.json, so it is no model folder. Give a folder that transformers saved.")
    if not weight_files(folder):
        raise NotFound(f"{folder} has no safetensors. Save the model as safetensors; other files are never read.")
    config = read_json(folder / "config.json")
    told = read_json(folder / "sentence_bert_config.json", missing={})
    most = max_tokens(folder, config, settings.max_tokens or told.get("max_seq_length"))
    if settings.max_tokens > most:
        raise BadInput(f"max_tokens is {settings.max_tokens}; {folder} reads {most} tokens. Give at most that.")
    lowercase = bool(told.get("do_lower_case", False))
    tokenizer, _ = read_tokenizer(folder, most, lowercase=lowercase)
    model = _load(folder, settings, classifier, {} if named is None else _renamed(folder, named))
    inputs = frozenset(inspect.signature(model.forward).parameters)
    return Backbone(model.to(torch.device(settings.device)), tokenizer, folder, most, inputs, lowercase)


def _renamed(folder: Path, named: Callable[[str], str]) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {named(name): values for file in weight_files(folder) for name, values in load_file(str(file)).items()}
    except SafetensorError as error:
        raise Damaged(f"{folder} has weights that cannot be read ({error}). Get the folder again.") from None


def _load(folder: Path, settings: BackboneSettings, classifier: bool, weights: dict[str, torch.Tensor]) -> Any:
    from transformers import AutoModel, AutoModelForSequenceClassification

    loader: Any = AutoModelForSequenceClassification if classifier else AutoModel
    try:
        with silent(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            if weights:  # which the model's own class alone takes
                with torch.device("meta"):
                    loader = type(loader.from_config(_config(folder, settings, classifier)))
            model, report = loader.from_pretrained(
                None if weights else str(folder),
                state_dict=weights or None,
                config=_config(folder, settings, classifier),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                attn_implementation=None if settings.attention == "auto" else settings.attention,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RetrError(f"transformers cannot load {folder}: {reason}") from None
    _check_whole(folder, model, report["missing_keys"])
    _leave_pooler(model, classifier)
    return model


def _config(folder: Path, settings: BackboneSettings, classifier: bool) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    if classifier and not any("Classification" in name for name in config.architectures or ()):
        config.num_labels = 1
    if settings.layers > config.num_hidden_layers:
        raise BadInput(f"layers is {settings.layers}; {folder} has {config.num_hidden_layers}. Give at most that.")
    if settings.layers:
        config.num_hidden_layers = settings.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: settings.layers]
    for name in [name for name in config.to_dict() if name.endswith(("dropout", "dropout_prob"))]:
        if settings.dropout is not None:
            setattr(config, name, settings.dropout)
    return config


def _check_whole(folder: Path, model: Any, missing: Sequence[str]) -> None:
    """Damaged where weights of the encoder itself are not there: transformers would put random ones in their place."""
    body = getattr(model, model.base_model_prefix, None)
    prefix = f"{model.base_model_prefix}." if body is not None and body is not model else ""
    absent = sorted(name for name in missing if name.startswith(prefix) and "pooler" not in name)
    absent = absent if prefix else [name for name in absent if not name.startswith(("classifier", "pre_classifier"))]
    if absent:
        raise Damaged(f"{folder} lacks {len(absent)} weights, such as {absent[0]!r}. Get the folder again.")


def _leave_pooler(model: Any, classifier: bool) -> None:
    """A pooler that nothing reads gets no gradient, which data-parallel training takes for an error."""
    if not classifier and isinstance(getattr(model, "pooler", None), torch.nn.Module):
        model.pooler.requires_grad_(False)
