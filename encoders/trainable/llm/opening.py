"""A decoder's folder to a student, proven to look the way it is told to and to heed no padding on either side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from retr.encoders.llm.canary import prove_direction
from retr.encoders.llm.folder import LlmFolder, read_llm
from retr.encoders.llm.latent import LatentPooling
from retr.encoders.llm.loading import Loading, load_model, window_of
from retr.encoders.llm.opening import open_pooling
from retr.encoders.llm.ql_settings import MARK, QlTable
from retr.encoders.llm.settings import LATENT_LAYERS, LlmTable
from retr.encoders.reading.folder import max_tokens
from retr.encoders.reading.tokenizing import read_tokenizer
from retr.encoders.trainable.backbone import BackboneSettings
from retr.encoders.trainable.llm.decoder import Decoder
from retr.encoders.trainable.llm.ql import QueryLikelihood, QueryTexts
from retr.encoders.trainable.llm.rows import Side
from retr.encoders.trainable.llm.settings import LlmSettings
from retr.encoders.trainable.llm.student import LlmModule, LlmStudent
from retr.encoders.trainable.llm.texts import GenerationTexts, end_token, start_of, uncut, with_end
from retr.retrieval.errors import BadInput

TOLERANCE = 1e-4
"""Of the largest state, between a text alone and beside a longer one; measured: 1e-6."""


def open_llm(path: Path, settings: LlmSettings | None = None, running: BackboneSettings | None = None) -> LlmStudent:
    """The student of a decoder's folder; BadInput where its model does not keep to masks."""
    settings, running = settings or LlmSettings(), running or BackboneSettings()
    folder = read_llm(path)
    if folder.dense or folder.lowercase:
        raise BadInput(f"{path} has dense layers, or reads in lower case, which llm cannot train. Train it as bi.")
    most = max_tokens(folder.base, folder.config, running.max_tokens or folder.table.max_tokens)
    table = settings.changed(folder.table, most, window_of(folder))
    turned = LlmFolder(path, folder.base, folder.config, table)
    how = _loading(settings, running)
    decoder = Decoder(load_model(turned, how), folder.base, most, table.window, settings.generates)
    prove_decoder(decoder, table)
    frozen = None
    if settings.reference:
        frozen = Decoder(load_model(turned, how).requires_grad_(False), path, most, table.window, True)
    home = path if (path / "tokenizer.json").is_file() else folder.base
    tokenizer, _ = read_tokenizer(home, most)
    end = end_token(home, tokenizer)
    start = start_of(tokenizer, end[1])
    if settings.append_end:
        with_end(tokenizer, end)
    pooling, head = _pooling(folder, table, decoder, running.seed), _head(settings, table, decoder, running.seed)
    module = LlmModule(decoder.trunk, pooling, head).to(torch.device(running.device))
    generation = GenerationTexts(uncut(tokenizer), settings.generation_prompt, start, end[1], most)
    likelihood = _likelihood(settings, table, decoder, generation)
    keeps = settings.adapters == "keep" and folder.has_adapter
    return LlmStudent(module, decoder, tokenizer, table, generation, frozen, keeps, likelihood)


def prove_decoder(decoder: Decoder, table: LlmTable) -> None:
    """BadInput where masks do not turn the model both ways, or a text differs between itself alone and in company."""

    def states(direction: Any) -> Any:
        return lambda ids: decoder.states(decoder.rows(ids.tolist()), causal=direction == "causal")[0]

    for direction in {table.attention, "causal"} if decoder.generates else {table.attention}:
        window = table.window if direction == "bidirectional" else 0
        prove_direction(states(direction), decoder.model, direction, window, table.max_tokens)
    ids = [list(range(3, 3 + length)) for length in (min(9, table.max_tokens), min(4, table.max_tokens))]
    mode: bool = decoder.model.training
    decoder.model.eval()
    with torch.no_grad():
        alone = _states(decoder, ids[1:], table, "right")[0]
        for side in ("right", "left"):
            both = _states(decoder, ids, table, side)[1]
            beside = both[: len(alone)] if side == "right" else both[-len(alone) :]
            if not bool((beside - alone).abs().max() <= TOLERANCE * alone.abs().max()):
                raise BadInput(f"{decoder.name} gives a text other states beside a longer one. Take another model.")
    decoder.model.train(mode)


def _states(decoder: Decoder, ids: Sequence[Sequence[int]], table: LlmTable, side: Side) -> torch.Tensor:
    return decoder.states(decoder.rows(ids, side), causal=not table.bidirectional)[0]


def _loading(settings: LlmSettings, running: BackboneSettings) -> Loading:
    return Loading(settings.generates, settings.adapters, running.attention, 0, running.layers, running.dropout)


def _likelihood(
    settings: LlmSettings, table: LlmTable, decoder: Decoder, texts: GenerationTexts
) -> QueryLikelihood | None:
    """What tells how likely a query is after a document, which reads as it does for a vector; None if not asked for."""
    if not settings.query_likelihood:
        return None
    stop = settings.query_likelihood == "stop"
    if stop and (table.bidirectional or table.pooling != "lasttoken"):
        raise BadInput(
            f"query_likelihood is 'stop', attention {table.attention} and pooling {table.pooling}: the vector's token "
            "can be seen alone only where it is a causal model's last. Set attention = causal, pooling = lasttoken."
        )
    asked = QlTable(table.document_prompt + MARK, stop, max_tokens=decoder.max_tokens)
    return QueryLikelihood(decoder, QueryTexts(texts.tokenizer, asked, texts.start, texts.end, decoder.max_tokens))


def _pooling(folder: LlmFolder, table: LlmTable, decoder: Decoder, seed: int) -> LatentPooling | None:
    """The folder's, or one that begins from the seed."""
    if table.latent is None:
        return None
    if folder.table.pooling == table.pooling and folder.table.latent == table.latent:
        return open_pooling(folder, decoder.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LatentPooling(decoder.dim, table.latent, decoder.layers if table.pooling == LATENT_LAYERS else 0)


def _head(settings: LlmSettings, table: LlmTable, decoder: Decoder, seed: int) -> torch.nn.Module | None:
    """Linear, ReLU, Linear, as wide as the vectors (Man et al. 2024, ULLME, arXiv 2408.03402)."""
    if not settings.head:
        return None
    dim = decoder.dim if table.latent else decoder.dim * len(table.modes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(dim, dim), torch.nn.ReLU(), torch.nn.Linear(dim, dim))
