"""Weights and settings of retr's own, beside a folder that transformers wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from retr.encoders.trainable.sentence_folder import write_record
from retr.retrieval.errors import Damaged, NotFound


def write_parts(file: Path, tensors: Mapping[str, torch.Tensor], tables: Mapping[str, Any]) -> None:
    """The tensors in a safetensors file, and the tables in retr.json beside it."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(file))
    write_record(file.parent, tables)


def read_parts(file: Path, module: torch.nn.Module) -> None:
    """Fill the module from the file; NotFound where it is not there, Damaged where it does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise NotFound(f"{file} is missing, which retr.json beside it tells of. Get the folder again.")
    try:
        module.load_state_dict(load_file(str(file)))
    except (SafetensorError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(f"{file} does not fit its model ({reason}). Get the folder again.") from None
