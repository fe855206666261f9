"""A decoder's folder opened to tell how likely queries are: with its logits, causal, proven to keep to masks."""

from dataclasses import replace

from retr.encoders.llm.folder import LlmFolder
from retr.encoders.llm.loading import Loading, load_model, window_of
from retr.encoders.llm.opening import ATTENTIONS
from retr.encoders.llm.ql_settings import QlTable
from retr.encoders.on_torch.compute import Placement
from retr.encoders.reading.folder import max_tokens
from retr.encoders.reading.tokenizing import read_tokenizer
from retr.encoders.trainable.llm.decoder import Decoder
from retr.encoders.trainable.llm.opening import prove_decoder
from retr.encoders.trainable.llm.ql import QueryLikelihood, QueryTexts
from retr.encoders.trainable.llm.texts import end_token, start_of, uncut
from retr.retrieval.errors import BadInput, Damaged


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
