"""A decoder's folder opened to tell how likely queries are: with its logits, causal, proven to keep to masks."""

from dataclasses import replace

import torch

from retr.encoders.llm.folder import LlmFolder
from retr.encoders.llm.loading import Loading, load_model, window_of
from retr.encoders.llm.opening import ATTENTIONS
from retr.encoders.llm.ql_settings import QlTable
from retr.encoders.on_torch.compute import Placement
from retr.encoders.reading.folder import max_tokens
from retr.encoders.reading.tokenizing import read_tokenizer
from retr.encoders.trainable.llm.decoder import Decoder
from retr.encoders.trainable.llm.one_token import OneToken
from retr.encoders.trainable.llm.opening import prove_decoder
from retr.encoders.trainable.llm.ql import KeptLikelihood, QueryLikelihood, QueryTexts
from retr.encoders.trainable.llm.texts import end_token, start_of, uncut
from retr.retrieval.errors import BadInput, Damaged

CLOSE, ROUGH = 1e-4, 5e-2
"""Of a score: from keys and of the whole, in float32 (measured: 2e-7) and in shorter numbers."""


def open_ql(folder: LlmFolder, table: QlTable, placement: Placement) -> tuple[QueryLikelihood, str]:
    """The folder's decoder, proven, on its device, and the hash of its tokenizer."""
    most = max_tokens(folder.base, folder.config, table.max_tokens)
    about = replace(folder.table, attention="causal", max_tokens=most, window=window_of(folder))
    turned = replace(folder, table=about)
    decoder = _proven(turned, most)
    decoder.model.requires_grad_(False).to(placement.device, placement.dtype)
    home = folder.path if (folder.path / "tokenizer.json").is_file() else folder.base
    tokenizer, found = read_tokenizer(home, most, lowercase=folder.lowercase)
    end = end_token(home, tokenizer)[1]
    texts = QueryTexts(uncut(tokenizer), table, start_of(tokenizer, end), end, most)
    return QueryLikelihood(decoder, texts), found


def open_kept(folder: LlmFolder, table: QlTable, placement: Placement) -> tuple[KeptLikelihood, str]:
    """The same for a model that was trained with a stop, proven to give from what is kept what it gives of the whole.

    BadInput for a model without a stop, or one whose layers keep something else than keys and values.
    """
    if not table.stop:
        raise BadInput(
            f"{folder.path} lets a query see all of the document, so one token's keys do not stand for it. Train with "
            'query_likelihood = "stop", or rerank by ql without stored keys.'
        )
    likelihood, found = open_ql(folder, table, placement)
    try:
        with torch.no_grad():
            kept = KeptLikelihood(likelihood, OneToken.of(likelihood.decoder))
            _prove_kept(kept)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())[:150]
        raise BadInput(f"{_no_keys(likelihood)} ({type(error).__name__}: {reason}).") from None
    return kept, found


def _prove_kept(kept: KeptLikelihood) -> None:
    decoder, target = kept.likelihood.decoder, [5, 3, 6]
    documents = [[3, 4, 5, 6, 7], [8, 9]]
    whole = decoder.log_probs(documents, [target] * 2, stop=True)[0]
    parts = kept.token.log_probs(kept.token.read(documents), target)
    tolerance = CLOSE if decoder.trunk.dtype == torch.float32 else ROUGH
    if not bool((parts - whole).abs().max() <= tolerance * whole.abs().max()):
        raise BadInput(f"{_no_keys(kept.likelihood)}: scores from one token's keys are others than those of the whole.")


def _no_keys(likelihood: QueryLikelihood) -> str:
    return f"{likelihood.decoder.name} is of an architecture whose keys cannot be stored; rerank by ql without them"


def _proven(folder: LlmFolder, most: int) -> Decoder:
    """With the first attention in which it keeps to masks; BadInput where there is none, or no layer of logits."""
    for attention in ATTENTIONS:
        try:
            model = load_model(folder, Loading(generates=True, attention=attention))
        except Damaged as error:
            if "weights, such as 'lm_head" not in str(error) and "embed_out" not in str(error):
                raise
            raise BadInput(
                f"{folder.path} has no layer of logits, so it tells no query's probability. Give the whole decoder, "
                "or train with generates = true."
            ) from None
        decoder = Decoder(model, folder.base, most, folder.table.window, True)
        try:
            prove_decoder(decoder, folder.table)
        except BadInput:
            if attention == ATTENTIONS[-1]:
                raise
            continue
        return decoder
    raise AssertionError("the last attention returns or raises")
