"""Checks of GPUs: which there are, and whether torch, FAISS and onnxruntime can use them. Nothing runs without one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from retr.cli.diagnosis import Finding

TIMEOUT_SECONDS = 120
ASK = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")

PROBE = """
import json
found = {}
def ask(name, of):
    try:
        found[name] = of()
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}".splitlines()[0]
def torch():
    import torch
    return [torch.version.cuda or "", torch.cuda.device_count()]
def faiss():
    import faiss
    return [hasattr(faiss, "StandardGpuResources"), faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0]
def onnxruntime():
    import onnxruntime
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
for one in (torch, faiss, onnxruntime):
    ask(one.__name__, one)
print(json.dumps(found))
"""

FAISS_BUILD = "Run: pip uninstall --yes faiss-cpu, then: pip install faiss-gpu (docs/gpu.md)"
TORCH_BUILD = "Install the CUDA build of torch for this driver, as pytorch.org says."
ONNX_BUILD = "Run: pip uninstall --yes onnxruntime, then: pip install onnxruntime-gpu"


def gpus() -> Iterator[Finding]:
    """The GPUs of this machine, and what each library sees of them."""
    cards = _cards()
    if isinstance(cards, Finding):
        yield cards
        return
    yield from (Finding(f"gpu {number}", "ok", card) for number, card in enumerate(cards))
    try:
        probe = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
        )
        yield from judge(json.loads(probe.stdout.splitlines()[-1]), len(cards))
    except (subprocess.SubprocessError, IndexError, ValueError) as error:
        yield Finding("gpu libraries", "problem", f"not loaded: {error}", "Reinstall torch, FAISS or onnxruntime.")


def _cards() -> list[str] | Finding:
    """A line a GPU as NVIDIA's own tool lists them, or what there is to say where there is none."""
    program = shutil.which(ASK[0])
    if program is None:
        return Finding("gpu", "ok", "none seen (no nvidia-smi): everything runs on the processor")
    try:
        asked = subprocess.run([program, *ASK[1:]], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("gpu", "problem", f"nvidia-smi does not answer: {error}", "Is the driver loaded?")
    lines = [line.strip() for line in asked.stdout.splitlines() if line.strip()]
    if asked.returncode or not lines:
        said = " ".join((asked.stdout + asked.stderr).split()) or f"exit code {asked.returncode}"
        return Finding("gpu", "problem", f"nvidia-smi: {said}", "Load or reinstall NVIDIA's driver.")
    return lines


def judge(found: dict[str, Any], cards: int) -> Iterator[Finding]:
    """The probe's facts as findings; what a library does not see costs only what that library does."""
    torch, faiss, onnx = found["torch"], found["faiss"], found["onnxruntime"]
    if isinstance(torch, str):
        yield Finding(
            "torch on gpu", "ok", f"torch cannot be imported ({torch}): no training, no search of tokens there"
        )
    elif torch[1] < 1:
        detail = f"built for CUDA {torch[0]}, sees no GPU" if torch[0] else "built without CUDA"
        yield Finding("torch on gpu", "warning", f"{detail}: training and torch encoders stay off it", TORCH_BUILD)
    else:
        yield Finding("torch on gpu", "ok", f"CUDA {torch[0]}, {torch[1]} of {cards}")
    if isinstance(faiss, str) or not faiss[0]:
        detail = faiss if isinstance(faiss, str) else "built without GPUs"
        yield Finding("faiss on gpu", "warning", f"{detail}: --device cuda searches on the processor", FAISS_BUILD)
    elif faiss[1] < 1:
        yield Finding("faiss on gpu", "warning", "built for GPUs, sees none", "Is the driver older than CUDA 12?")
    else:
        yield Finding("faiss on gpu", "ok", f"{faiss[1]} of {cards}")
    if onnx is True:
        yield Finding("onnxruntime on gpu", "ok", "CUDAExecutionProvider")
    else:
        detail = onnx if isinstance(onnx, str) else "without CUDAExecutionProvider"
        yield Finding("onnxruntime on gpu", "warning", f"{detail}: exported encoders stay off the GPU", ONNX_BUILD)
