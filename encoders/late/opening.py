"""The networks of a late model's folder: the one that reads texts, and one under a mask where queries need it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retr.encoders.late.folder import LateFolder
from retr.encoders.late.states import MaskedFile, MaskedNetwork, open_masked_graph
from retr.encoders.reading.exported import read_exported
from retr.encoders.reading.families import is_known, read_transformer
from retr.encoders.reading.folder import inside, onnx_file
from retr.encoders.reading.record import Record, read_record
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.running.devices import asked_for
from retr.encoders.running.network import Network, OnnxNetwork, open_file
from retr.encoders.running.opening import Opened, open_exported, open_network
from retr.retrieval.errors import BadInput


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
        weights = read_exported(file)[0] if record.built == "retr" else None
        if weights is not None and weights.relative is None:
            return open_masked_graph(weights)
        return _masked_file(open_file(file, classifier=False), file)
    files, onnx = weight_files(path), onnx_file(path)
    if files and is_known(folder.config):
        weights = read_transformer(read_safetensors(files), folder.config)
        if weights.relative is None:
            return open_masked_graph(weights)
    if onnx is None:
        kind = folder.config.get("model_type")
        raise BadInput(
            f"{path} fills queries up with tokens that are not seen, which {kind!r} cannot do here. Export it with "
            "`retr export`, whose file can."
        )
    return _masked_file(open_file(onnx, classifier=False), onnx)


def _masked_file(network: OnnxNetwork, path: Path) -> MaskedFile:
    if "attention_mask" not in network.inputs:
        raise BadInput(f"{path} reads no attention_mask, which this model's queries need. Export the model again.")
    return MaskedFile(network.session, network.inputs, network.output)
