"""The networks of a late model's folder: the one that reads texts, and one under a mask where queries need it."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retr.encoders.late.folder import LateFolder
from retr.encoders.late.states import MaskedFile, MaskedNetwork, open_masked_graph
from retr.encoders.on_torch.compute import Compute
from retr.encoders.reading.exported import read_exported
from retr.encoders.reading.families import is_known, read_transformer
from retr.encoders.reading.folder import inside
from retr.encoders.reading.record import Record, read_record
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.devices import asked_for
from retr.encoders.running.network import Network, open_file
from retr.encoders.running.opening import Opened, open_exported, open_network
from retr.retrieval.errors import BadInput, missing_package


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """What reads texts, what reads filled-up queries whose filling is not to be seen, and what is told of the first."""

    plain: Network
    masked: MaskedNetwork | None
    opened: Opened


def open_networks(folder: LateFolder, device: str) -> Networks:
    """The networks of a folder, as the encoder's kinds are opened: what `retr export` wrote comes first."""
    path = folder.path
    usual = asked_for(device).usual
    record = read_record(path, "late") if usual else None
    opened = open_exported(path, record, False) if record else open_network(path, folder.config, device=device)
    expansion = folder.texts.expansion
    if expansion is None or expansion.attend:
        return Networks(opened.network, None, opened)
    return Networks(opened.network, _masked(folder, record, opened, usual=usual), opened)


def _masked(folder: LateFolder, record: Record | None, opened: Opened, *, usual: bool) -> MaskedNetwork:
    path = folder.path
    if opened.runtime.startswith("torch"):
        from retr.encoders.late.by_torch import MaskedTorch

        network: Any = opened.network
        return MaskedTorch(network)
    if not usual:
        raise BadInput(f"{path} fills queries up with tokens that are not seen; ONNX files run so on a CPU alone.")
    if record is not None:
        file = inside(path, record.network)
        return _of_weights(path, read_exported(file)[0]) if record.built == "retr" else _masked_file(file)
    files = weight_files(path)
    if files and is_known(folder.config):
        return _of_weights(path, read_transformer(read_safetensors(files), folder.config))
    return _masked_file(opened.files[0])


def _of_weights(path: Path, weights: Transformer) -> MaskedNetwork:
    """A graph; or torch, where a bias by relative position and a mask are both wanted, which no graph here has."""
    if weights.relative is None:
        return open_masked_graph(weights)
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise missing_package("torch", needed_for="MPNet with queries filled up by tokens not seen", extra="train")
    from retr.encoders.late.by_torch import MaskedTorch
    from retr.encoders.on_torch.network import open_torch

    return MaskedTorch(open_torch(path, classifier=False, compute=Compute()))


def _masked_file(path: Path) -> MaskedFile:
    network = open_file(path, classifier=False)
    if "attention_mask" not in network.inputs:
        raise BadInput(f"{path} reads no attention_mask, which this model's queries need. Export the model again.")
    return MaskedFile(network.session, network.inputs, network.output)
