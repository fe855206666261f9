"""The systems of bench/encode.py: how each is set up, which settings are tried for it, and which cannot be had here."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from systems import model_folder

Options = Mapping[str, Any]
BASELINE = "sentence-transformers"
BEST = "sentence-transformers, best float32"
OURS = sys.executable
BATCHES = (8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class System:
    """One row. Of `choices` the best is taken for each kind of work; `precision` says which peak it is held against."""

    name: str
    adapter: str
    python: str
    options: Options
    precision: str
    choices: Sequence[Options] = ()
    missing: str = ""

    @property
    def ours(self) -> bool:
        """Whether it runs with this checkout of retr."""
        return self.adapter == "retr_encoder"


def all_systems(args: argparse.Namespace) -> list[System]:
    """The rows in the table's order; what was not given on the command line says so and is left out."""
    model, onnx = str(args.model), str(args.work / "onnx")
    ours = [
        System("retr", "retr_encoder", OURS, {}, "int8"),
        System("retr, float32", "retr_encoder", OURS, {"spec": f"bi={model}"}, "float32"),
        System("retr, exported int8", "retr_encoder", OURS, {"spec": f"bi={args.exported}"}, "int8"),
        System("retr, exported float32", "retr_encoder", OURS, {"spec": f"bi={args.exported_float32}"}, "float32"),
        System("retr, static", "retr_encoder", OURS, {"spec": f"static={args.static}"}, "none"),
    ]
    others = [*peers(str(args.peers_python), model, onnx), infinity(str(args.infinity_python), model)]
    return [replace(one, missing=missing(args, one)) for one in (*ours, *others)]


def missing(args: argparse.Namespace, system: System) -> str:
    """The option that was not given, if there is one."""
    needs = {
        "retr, exported int8": "exported",
        "retr, exported float32": "exported_float32",
        "retr, static": "static",
        "infinity": "infinity_python",
    }
    name = needs.get(system.name, "" if system.ours else "peers_python")
    return f"no --{name.replace('_', '-')}" if name and getattr(args, name) is None else ""


def peers(python: str, model: str, onnx: str) -> list[System]:
    """What bench/peers/encode-requirements.txt installs."""
    plain, half = {"model": model}, {"model": model, "dtype": "bfloat16"}
    single = [{"threads": 2, "batch": batch} for batch in BATCHES] + [{"threads": 1, "batch": 32}]
    pools = [
        {"processes": 2, "threads": 1, "batch": batch, "presort": presort}
        for presort in (False, True)
        for batch in BATCHES
    ]
    few = [one for one in (*single, *pools) if one["batch"] in (16, 32) and (one["threads"] == 2 or "processes" in one)]
    requests = [{"batch": batch} for batch in (1, 4, 8, 16, 32)]
    embeds = [{}, *({"batch": batch, "presort": presort} for presort in (False, True) for batch in (8, 32, 256))]
    f32 = {"folder": onnx, "precision": "f32"}
    return [
        System(BASELINE, "st_encoder", python, plain, "float32"),
        System(BEST, "st_encoder", python, plain, "float32", [{}, *single, *pools]),
        System("sentence-transformers, best bfloat16", "st_encoder", python, half, "bfloat16", few),
        System("OpenVINO, throughput", "openvino_encoder", python, {"hint": "THROUGHPUT", **f32}, "float32", requests),
        System("OpenVINO, latency", "openvino_encoder", python, {"hint": "LATENCY", **f32}, "float32", requests),
        System(
            "OpenVINO, throughput, its own precision",
            "openvino_encoder",
            python,
            {"hint": "THROUGHPUT", "folder": onnx},
            "bfloat16",
            requests,
        ),
        System("fastembed", "fastembed_encoder", python, {"folder": onnx}, "float32", embeds),
        System("light-embed", "light_embed_encoder", python, {"folder": onnx}, "float32", [{}, *requests]),
    ]


def infinity(python: str, model: str) -> System:
    """What bench/peers/encode-infinity-requirements.txt installs."""
    choices = [{}, *({"batch": batch} for batch in BATCHES)]
    return System("infinity", "infinity_encoder", python, {"model": model}, "float32", choices)


def the_model(args: argparse.Namespace) -> Path:
    """The float32 folder that all float32 systems read: the peers', or that of this interpreter."""
    return args.model or Path(model_folder(str(args.peers_python or OURS)))


def packages() -> dict[str, list[str]]:
    """What is recorded of each interpreter beside retr's own."""
    from recording import ROOT, names_in

    files = {"peers": "encode-requirements.txt", "infinity": "encode-infinity-requirements.txt"}
    return {
        side: names_in((ROOT / "bench" / "peers" / name).read_text(encoding="utf-8").splitlines())
        for side, name in files.items()
    }
