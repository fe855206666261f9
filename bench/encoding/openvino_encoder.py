"""OpenVINO over an ONNX file: its own queue of requests, texts sorted by length, mean pooling by numpy.

options  {"folder": ONNX file and tokenizer, "hint": "THROUGHPUT" or "LATENCY", "batch": texts a request,
"precision": "f32"; without it OpenVINO chooses, and it chooses bfloat16 where the processor has it}.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from encoding.protocol import MAX_TOKENS, Floats, Options, longest_first

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OpenVino:
    """A compiled model with its queue."""

    def __init__(self, options: Options) -> None:
        import openvino
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(Path(options["folder"]) / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()
        settings = {"PERFORMANCE_HINT": options["hint"]}
        if "precision" in options:
            settings["INFERENCE_PRECISION_HINT"] = options["precision"]
        compiled = openvino.Core().compile_model(str(Path(options["folder"]) / "model.onnx"), "CPU", settings)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.runtime = f"OpenVINO, {precision}, {compiled.get_property('NUM_STREAMS')} streams"
        self.queue = openvino.AsyncInferQueue(compiled)
        self.one = compiled.create_infer_request()
        self.batch = options.get("batch", 32)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Batches of about equal length, as many at once as OpenVINO wants."""
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        order = longest_first(texts)
        vectors: dict[int, Floats] = {}

        def finished(request: Any, job: tuple[list[int], Any]) -> None:
            rows, mask = job
            vectors.update(zip(rows, pooled(request.get_output_tensor().data, mask), strict=True))

        self.queue.set_callback(finished)
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            given = inputs([encodings[row].ids for row in rows])
            self.queue.start_async(given, (rows, given["attention_mask"]))
        self.queue.wait_all()
        return np.stack([vectors[row] for row in range(len(order))])

    def query(self, text: str) -> Floats:
        """One request, waited for."""
        given = inputs([self.tokenizer.encode(text).ids])
        self.one.infer(given)
        vector: Floats = pooled(self.one.get_output_tensor().data, given["attention_mask"])[0]
        return vector

    def close(self) -> None:
        """Nothing was started."""


def inputs(ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Padded to the longest: int64 [texts, tokens]."""
    shape = (len(ids), max(map(len, ids)))
    given = {name: np.zeros(shape, np.int64) for name in INPUTS}
    for row, tokens in enumerate(ids):
        given["input_ids"][row, : len(tokens)] = tokens
        given["attention_mask"][row, : len(tokens)] = 1
    return given


def pooled(states: Any, mask: Any) -> Floats:
    """The mean over the tokens that are there, of unit length."""
    weights = mask.astype(np.float32)
    means = np.matmul(weights[:, None], states)[:, 0] / weights.sum(1, keepdims=True)
    vectors: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
    return vectors


def encoder(options: Options) -> OpenVino:
    """Loaded."""
    return OpenVino(options)
