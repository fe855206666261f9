"""What OpenVINO, fastembed and light-embed read, in float32: `encode_onnx.py MODEL_FOLDER OUT_FOLDER [EXPORTED]`.

The ONNX file is that of the folder EXPORTED, which `retr export` wrote, or is made by torch's exporter from the folder
that sentence-transformers loads; either is compared with torch. The tokenizer's files beside it are made to say 256
tokens: their readers look there, and sentence-transformers does not.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1e-4
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def main() -> None:
    """Write OUT_FOLDER, which appears when it is whole."""
    import torch
    from encoding.protocol import MAX_TOKENS
    from transformers import AutoModel

    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in ("config.json", "special_tokens_map.json"):
        shutil.copy(source / name, part)
    settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    (part / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": MAX_TOKENS}))
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer |= {"truncation": None, "padding": None}
    (part / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    torch.set_num_threads(1)
    model = AutoModel.from_pretrained(source, attn_implementation="sdpa").eval()
    if len(sys.argv) > 3:
        for file in (Path(sys.argv[3]) / "onnx").glob("model.onnx*"):  # weights may lie beside it
            shutil.copy(file, part)
    else:
        export(model, part / "model.onnx")
    check(model, part / "model.onnx")
    part.rename(out)


def export(model: Any, path: Path) -> None:
    """The token states, batch and length free."""
    import torch

    class States(torch.nn.Module):
        """The one output that is read."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            """[texts, tokens] three times to [texts, tokens, dim]."""
            given = dict(zip(NAMES, (input_ids, attention_mask, token_type_ids), strict=True))
            return self.model(**given).last_hidden_state

    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        States(),
        example(2, 16),
        path,
        input_names=list(NAMES),
        output_names=["last_hidden_state"],
        dynamic_shapes=dict.fromkeys(NAMES, free),
        dynamo=True,
        external_data=False,
    )


def example(texts: int, tokens: int) -> tuple[Any, Any, Any]:
    """Tokens by a seed, the last text half as long as the others, one segment."""
    import torch

    ids = torch.randint(1000, 20_000, (texts, tokens), generator=torch.Generator().manual_seed(7))
    mask = torch.ones_like(ids)
    mask[-1, tokens // 2 :] = 0
    return ids, mask, torch.zeros_like(ids)


def check(model: Any, path: Path) -> None:
    """ONNX Runtime's states of what is no padding are torch's, at another shape than the exported one."""
    import onnxruntime
    import torch

    given = example(3, 37)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    asked = {item.name for item in session.get_inputs()}
    inputs = {name: values.numpy() for name, values in zip(NAMES, given, strict=True) if name in asked}
    found = session.run(["last_hidden_state"], inputs)[0]
    with torch.no_grad():
        wanted = model(**dict(zip(NAMES, given, strict=True))).last_hidden_state.numpy()
    far = float((abs(found - wanted) * given[1].numpy()[..., None]).max())  # what padding becomes is nobody's business
    if far > TOLERANCE:
        raise SystemExit(f"The exported model differs from torch by {far:.1e}, more than {TOLERANCE:.0e}.")


if __name__ == "__main__":
    main()
