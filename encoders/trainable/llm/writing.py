"""A trained decoder as a folder: transformers' files, retr.json, and sentence-transformers' where it can read them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retr.encoders.exporting.layout import copy_model
from retr.encoders.llm.folder import ADAPTER, POOLING_FILE
from retr.encoders.llm.latent import LatentPooling
from retr.encoders.llm.ql_settings import QlTable
from retr.encoders.llm.settings import LlmTable
from retr.encoders.on_torch.silence import silent
from retr.encoders.reading.folder import read_json
from retr.encoders.trainable.llm.decoder import Decoder
from retr.encoders.trainable.parts import write_parts
from retr.encoders.trainable.sentence_folder import SentenceSettings, write_record, write_sentence_folder
from retr.retrieval.errors import missing_package


def write_llm(
    folder: Path,
    decoder: Decoder,
    table: LlmTable,
    tokenizer: Any,
    pooling: LatentPooling | None,
    *,
    own_adapters: bool = False,
) -> None:
    """Config with its direction, weights, tokenizer with its end token, pooling; low-rank updates of its own apart."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_model(decoder.folder, folder, weights=own_adapters)
    _write_tokenizer(folder, tokenizer)
    if own_adapters:
        _write_adapter(folder, decoder)
    else:
        with silent():
            decoder.model.save_pretrained(str(folder))
    tables = {"llm": {name: value for name, value in asdict(table).items() if value is not None}}
    if pooling is not None:
        write_parts(folder / POOLING_FILE, pooling.state_dict(), tables)
        return
    write_sentence_folder(folder, _for_sentences(table), ())
    write_record(folder, tables)


def write_likelihood(folder: Path, table: QlTable) -> None:
    """Add to a written folder how the kind ql is to ask it for a query's probability."""
    write_record(folder, {**read_json(folder / "retr.json"), "ql": asdict(table)})


def _write_tokenizer(folder: Path, tokenizer: Any) -> None:
    """With its end token, uncut, and of the class that takes tokenizer.json as it is; a padding token for others."""
    content = json.loads(tokenizer.to_str())
    content["truncation"] = content["padding"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    settings = read_json(folder / "tokenizer_config.json", missing={})
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    if not settings.get("pad_token"):
        settings["pad_token"] = settings.get("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _for_sentences(table: LlmTable) -> SentenceSettings:
    return SentenceSettings(
        table.modes,
        (),
        table.normalised,
        table.similarity,
        table.query_prompt,
        table.document_prompt,
        table.include_prompt,
        table.max_tokens,
        lowercase=False,
    )


def _write_adapter(folder: Path, decoder: Decoder) -> None:
    """peft's two files beside the base's weights, which are as they were; config.json tells the direction."""
    try:
        from peft import get_peft_model_state_dict
    except ModuleNotFoundError:
        raise missing_package("peft", needed_for="An adapter", extra="train") from None
    from safetensors.torch import save_file

    model = decoder.model
    found: Any = get_peft_model_state_dict(model)
    tensors = {f"base_model.model.{name}": value.detach().cpu().contiguous() for name, value in found.items()}
    save_file(tensors, str(folder / "adapter_model.safetensors"))
    config = model.peft_config["default"]
    config.inference_mode = True
    config.save_pretrained(str(folder))
    model.config.save_pretrained(str(folder))
    assert (folder / ADAPTER).is_file()
