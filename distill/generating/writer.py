"""A decoder that writes one question to a text, greedily, with or without copying."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retr.distill.generating.copying import looked_at, next_word
from retr.distill.generating.settings import GenerateSettings
from retr.encoders.llm.folder import base_files, read_llm
from retr.encoders.llm.loading import Loading, load_model
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import read_tokenizer, tokenize
from retr.retrieval.errors import BadInput

LONGEST = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """`ends` are the tokens that end a text, `layers` the states of earlier layers that copying goes by."""

    model: Any
    tokenizer: Any
    settings: GenerateSettings
    first: tuple[int, ...]
    ends: frozenset[int]
    special: frozenset[int]
    fingerprint: str

    @property
    def layers(self) -> list[int]:
        """Every second layer of the upper half, without the last: 16, 18, … 30 of 32."""
        count = int(self.model.config.num_hidden_layers)
        return list(range(max(count // 2, 1), count - 1, 2))

    def ask(self, text: str) -> str:
        """One question to the text, on one line; empty where there is none, or none but one of the prompt's own."""
        before, after = self.settings.prompt.split("{text}")
        parts = (before, text[: self.settings.characters], after)
        told, source, rest = (list(read.ids) for read in tokenize(self.tokenizer, parts))
        start = len(self.first) + len(told)
        ids = [*self.first, *told, *source, *rest]
        found = self.write(ids, (start, start + len(source)))
        lines = self.tokenizer.decode(found).strip().splitlines()
        question = " ".join(lines[0].split()) if lines else ""
        asked = question.partition("?")[0].strip()
        if asked.casefold() in self.settings.prompt.casefold():
            return ""
        return f"{asked}?" if "?" in question else asked

    @torch.inference_mode()
    def write(self, ids: Sequence[int], source: tuple[int, int]) -> list[int]:
        """The tokens that follow on `ids`, of which those from and to `source` are the text; up to a line's end."""
        words = [-1 if token in self.special else token for token in ids[source[0] : source[1]]]
        found: list[int] = []
        given, kept = list(ids), None
        while len(found) < self.settings.new_tokens:
            told = self.model(
                input_ids=torch.tensor([given], device=self.model.device),
                past_key_values=kept,
                use_cache=True,
                output_attentions=self.settings.copy == "largepig",
                output_hidden_states=self.settings.copy == "largepig",
            )
            kept, token = told.past_key_values, self._next(told, words, source)
            if token in self.ends or (found and "\n" in self.tokenizer.decode([token])):
                break
            found.append(token)
            given = [token]
        return found

    def _next(self, told: Any, words: Sequence[int], source: tuple[int, int]) -> int:
        final = told.logits[0, -1]
        if self.settings.copy == "none" or not self.layers:
            return int(final.argmax())
        # As published: an earlier layer's state goes to the words without the norm that the last one has.
        states = torch.stack([told.hidden_states[layer][0, -1] for layer in self.layers])
        early = self.model.get_output_embeddings()(states)
        attention = told.attentions[-1][0, :, -1, source[0] : source[1]]
        copied = looked_at(attention, words, len(final), normalise=self.settings.normalise)
        return next_word(final, early, copied, self.settings)[0]


def open_writer(folder: Path, settings: GenerateSettings | None = None) -> Writer:
    """The decoder of a transformers folder: safetensors and tokenizer.json; BadInput for one that reads both ways."""
    from tokenizers import processors

    settings = settings or GenerateSettings()
    told = read_llm(folder)
    if told.table.attention != "causal":
        raise BadInput(f"{folder} is a bidirectional model, which cannot write. Give a causal decoder.")
    model = load_model(told, Loading(generates=True, attention="eager" if settings.copy == "largepig" else "auto"))
    tokenizer, sha256 = read_tokenizer(told.base, LONGEST)
    first = tuple(tokenizer.encode("").ids)
    tokenizer.no_truncation()
    tokenizer.post_processor = processors.Sequence([])
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    ends = _ends(model.config, told.base)
    first = first[:-1] if first and first[-1] in ends and len(first) > 1 else first
    weights = sorted(hashes(told.base, base_files(told.base)).items())
    fingerprint = hashlib.sha256(repr((weights, sha256, settings)).encode()).hexdigest()
    return Writer(model, tokenizer, settings, first, ends, frozenset(special), fingerprint)


def _ends(config: Any, folder: Path) -> frozenset[int]:
    """The ends that config and generation_config.json tell of: one token, or a list."""
    found: set[int] = set()
    for told in (
        getattr(config, "eos_token_id", None),
        read_json(folder / "generation_config.json", missing={}).get("eos_token_id"),
    ):
        found |= set(told) if isinstance(told, list) else set() if told is None else {int(told)}
    return frozenset(found)
