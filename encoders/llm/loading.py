"""A decoder from its folder: safetensors alone, turned to its direction, with what adapters add to it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from retr.encoders.llm.direction import own_window, turn
from retr.encoders.llm.folder import ADAPTER, ADAPTER_FILE, LlmFolder, base_files
from retr.encoders.on_torch.silence import silent
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError, missing_package

Attention = Literal["auto", "sdpa", "eager"]


@dataclass(frozen=True, slots=True)
class Loading:
    """How a decoder is loaded.

    `generates`: with the layer that gives the next token's logits. `adapters`: merged into the weights, or kept beside
    them to learn on. `bits`: 4 or 8 of a weight on a GPU; 0 is float32. `layers` 0 is all of them.
    """

    generates: bool = False
    adapters: Literal["merge", "keep"] = "merge"
    attention: Attention = "auto"
    bits: int = 0
    layers: int = 0
    dropout: float | None = None

    def __post_init__(self) -> None:
        if self.bits not in (0, 4, 8):
            raise BadInput(f"bits is {self.bits}; give 4 or 8, or 0 for the weights as they are.")


def load_model(folder: LlmFolder, how: Loading) -> Any:
    """transformers' model of a folder in evaluation mode, in float32 on the CPU unless `bits` puts it on the GPU."""
    if not base_files(folder.base):
        raise NotFound(f"{folder.base} has no safetensors. Save the model as safetensors; other files are never read.")
    named = _adapter_names(folder)
    whole = how.generates or any(name.startswith(f"base_model.model.{_prefix(folder)}.") for name in named)
    model = _load(folder, how, whole)
    if named:
        model = _adapted(model, folder, how)
    if whole and not how.generates:
        model = model.base_model
    return model.eval()


def check_quantising() -> None:
    """NotFound where weights of 4 or 8 bits cannot run: they need a GPU and bitsandbytes."""
    if not torch.cuda.is_available():
        raise NotFound("Weights of 4 or 8 bits run on an NVIDIA GPU alone, and torch sees none. Leave bits out.")
    if find_spec("bitsandbytes") is None:
        raise NotFound("Weights of 4 or 8 bits need the package 'bitsandbytes'. Run: pip install bitsandbytes")


def _load(folder: LlmFolder, how: Loading, whole: bool) -> Any:
    from transformers import AutoModel, AutoModelForCausalLM

    loader: Any = AutoModelForCausalLM if whole else AutoModel
    try:
        with silent(), _base_alone(folder) as base:
            model, report = loader.from_pretrained(
                str(base),
                config=_config(folder, how),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=None if how.attention == "auto" else how.attention,
                output_loading_info=True,
                **_precision(how.bits),
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RetrError(f"transformers cannot load {folder.base}: {reason}") from None
    if report["missing_keys"]:
        absent = sorted(report["missing_keys"])
        raise Damaged(f"{folder.base} lacks {len(absent)} weights, such as {absent[0]!r}. Get the folder again.")
    model.config.use_cache = False  # a cache of keys and values would be kept for every text
    return model


@contextmanager
def _base_alone(folder: LlmFolder) -> Iterator[Path]:
    """The base's files: beside an adapter's, transformers would put that into the model by itself."""
    if not (folder.base / ADAPTER).is_file():
        yield folder.base
        return
    with TemporaryDirectory() as place:
        for file in folder.base.iterdir():
            if not file.name.startswith("adapter_"):
                (Path(place) / file.name).symlink_to(file.absolute())
        yield Path(place)


def _precision(bits: int) -> dict[str, Any]:
    if not bits:
        return {"dtype": torch.float32}
    check_quantising()
    import transformers

    settings: Any = transformers.BitsAndBytesConfig

    wanted = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}
    config = settings(**(wanted if bits == 4 else {"load_in_8bit": True}))
    return {"quantization_config": config, "dtype": torch.bfloat16, "device_map": {"": torch.cuda.current_device()}}


def _config(folder: LlmFolder, how: Loading) -> Any:
    """The folder's, turned to its direction, with as many layers as asked for."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(folder.base), local_files_only=True, trust_remote_code=False)
    if how.layers > config.num_hidden_layers:
        raise BadInput(f"layers is {how.layers}; {folder.base} has {config.num_hidden_layers}. Give at most that.")
    if how.layers:
        config.num_hidden_layers = how.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: how.layers]
    for name in [name for name in config.to_dict() if name.endswith(("dropout", "pdrop"))]:
        if how.dropout is not None:
            setattr(config, name, how.dropout)
    turn(config, folder.table.attention, max(folder.table.max_tokens, folder.table.window))
    return config


def window_of(folder: LlmFolder) -> int:
    """How far the model's own sliding layers look back: from retr.json, since a saved config may be widened."""
    from transformers import AutoConfig

    if folder.table.window:
        return folder.table.window
    return own_window(AutoConfig.from_pretrained(str(folder.base), local_files_only=True, trust_remote_code=False))


def _adapter_names(folder: LlmFolder) -> Sequence[str]:
    """The names of the low-rank updates' tensors; NotFound where they are not in a safetensors file."""
    if not folder.has_adapter:
        return ()
    from safetensors import SafetensorError, safe_open

    path = folder.path / ADAPTER_FILE
    if not path.is_file():
        raise NotFound(f"{folder.path} tells of an adapter and lacks {ADAPTER_FILE}. Save it as safetensors.")
    try:
        with safe_open(str(path), "pt") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise Damaged(f"{path} is no safetensors file ({' '.join(str(error).split())[:150]}).") from None


def _prefix(folder: LlmFolder) -> str:
    """The name that a model with logits gives to the model inside of it."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(str(folder.base), local_files_only=True, trust_remote_code=False)
    kinds: Any = AutoModel
    kind: Any = kinds._model_mapping[type(config)]
    return str(kind.base_model_prefix)


def _adapted(model: Any, folder: LlmFolder, how: Loading) -> Any:
    try:
        from peft import PeftModel
    except ModuleNotFoundError:
        raise missing_package("peft", needed_for="An adapter's folder", extra="train") from None
    try:
        with silent(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what is to be renamed
            found: Any = PeftModel.from_pretrained(model, str(folder.path), is_trainable=how.adapters == "keep")
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(f"{folder.path} has an adapter that does not fit its base ({reason}).") from None
    return found.merge_and_unload() if how.adapters == "merge" else found.get_base_model()
