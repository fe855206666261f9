"""A model of the Hugging Face hub to a local folder; needs `retr[hub]` and a network, or a filled cache."""

import re
from importlib.util import find_spec
from pathlib import Path

from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import RECORD
from retr.retrieval.errors import NotFound, RetrError, missing_package

WANTED = ["*.json", "*.txt", "*.safetensors", "model.onnx*", "onnx/model.onnx*"]
"""Neither code nor pickles are fetched. HF_HUB_OFFLINE is honoured by the hub's own client."""


def is_hub_name(source: str) -> bool:
    """`organisation/name`, as the hub has it."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", source) is not None


def fetch(name: str) -> Path:
    """The folder of a hub model's files, fetched if need be."""
    if find_spec("huggingface_hub") is None:
        raise missing_package("huggingface_hub", needed_for=f"The hub model {name!r}", extra="hub")
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(name, allow_patterns=WANTED))
        network = _exported_network(path)
        if network and not (path / network).is_file():
            path = Path(snapshot_download(name, allow_patterns=[*WANTED, f"{network}*"]))
        return path
    except RetrError:
        raise
    except Exception as error:  # the client's errors share no base: network, name, rights, disk
        reason = " ".join(str(error).split())[:200]
        raise NotFound(
            f"The hub model {name!r} cannot be fetched ({type(error).__name__}: {reason}). "
            "Check the name and the network, or give a folder."
        ) from None


def _exported_network(path: Path) -> str:
    """The network that retr.json names, which may have another name than those that are always fetched; or ""."""
    export = read_json(path / RECORD, missing={}).get("export")
    network = export.get("network") if isinstance(export, dict) else None
    return network if isinstance(network, str) and re.fullmatch(r"onnx/[\w.-]+\.onnx", network) else ""
