"""A late-interaction model that learns: one vector a token, scores by MaxSim or another way, a MultiVectorEncoder."""

import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.functional import normalize, pad

from retr.encoders.late.folder import IDENTITY, LateFolder, is_late, read_late
from retr.encoders.late.marking import Marked, Marking, open_marking
from retr.encoders.late.scoring import Name, ScoringSettings, read_scoring
from retr.encoders.late.settings import Expansion, LateTexts, Task, TokenPooling
from retr.encoders.late.writing import LateModel, Projection, write_late
from retr.encoders.reading.folder import read_json
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.bi import ACTIVATIONS, Dense
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors
from retr.encoders.trainable.rows import in_passes, padded
from retr.encoders.trainable.student import ScoresOnly, check_groups
from retr.encoders.trainable.token_scoring import Scoring, open_scoring, write_scoring
from retr.retrieval.errors import BadInput
from retr.retrieval.transport import TransportSettings

DIM = 128
"""Numbers of a token's vector over a bare encoder."""


@dataclass(frozen=True, slots=True)
class LateSettings:
    """What a late model is; lengths are in tokens, special ones included, and 0 is all that the model reads.

    `dim` 0 is the folder's own projection, or 128. `expansion` fills short queries up to `expansion_tokens` with
    [MASK]: `fixed` cuts longer ones there, `min` does not; with `attend` other tokens see the filling. `mean` divides
    a score by the number of the query's tokens. `scoring` is maxsim, ot (optimal transport, as `transport` says) or
    xpool (pooled as the query looks at the tokens, with `pooling_dropout`), whose weights are learned too.
    """

    dim: int = 0
    query_tokens: int = 32
    document_tokens: int = 180
    expansion: Literal["none", "fixed", "min"] = "none"
    expansion_tokens: int = 32
    attend: bool = False
    skip_punctuation: bool = True
    query_prompt: str = ""
    document_prompt: str = ""
    mean: bool = False
    scoring: Name = "maxsim"
    transport: TransportSettings = field(default_factory=TransportSettings)
    pooling_dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.dim < 0:
            raise BadInput(f"dim is {self.dim}; give the numbers of a token's vector, or 0 for the folder's own.")
        if self.expansion not in ("none", "fixed", "min"):
            raise BadInput(f"expansion is none, fixed or min; got {self.expansion!r}.")
        if not 0 <= self.pooling_dropout < 1:
            raise BadInput(f"pooling_dropout is {self.pooling_dropout}; give a number from 0 to below 1.")
        if self.mean and self.scoring != "maxsim":
            raise BadInput(f"mean is of maxsim, and scoring is {self.scoring}. Leave mean out.")
        self.scored()
        self.texts(max(512, self.expansion_tokens), lowercase=False)

    def scored(self) -> ScoringSettings:
        """How tokens become a score."""
        return ScoringSettings(self.scoring, self.transport)

    def texts(self, most: int, *, lowercase: bool) -> LateTexts:
        """How texts are read by a model of at most `most` tokens."""
        expansion = None
        if self.expansion != "none":
            expansion = Expansion(self.expansion_tokens, self.expansion, self.attend)
        return LateTexts(
            max_tokens=most,
            query_tokens=self.query_tokens,
            document_tokens=self.document_tokens,
            query_prompt=self.query_prompt,
            document_prompt=self.document_prompt,
            expansion=expansion,
            skipped=tuple(string.punctuation) if self.skip_punctuation else (),
            lowercase=lowercase,
        )


class LateModule(torch.nn.Module):
    """States to token vectors: dense layers, unit length. `scoring` makes scores of these."""

    def __init__(self, encoder: torch.nn.Module, dense: Sequence[Dense], normalised: bool, scoring: Scoring) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense = torch.nn.ModuleList(dense)
        self.normalised = normalised
        self.scoring = scoring

    def forward(self, states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """[texts, longest, dim] and bool [texts, longest] to [texts, longest, dim of the vectors], zeros elsewhere."""
        vectors = states.masked_fill(~kept[:, :, None], 0.0)
        for layer in self.dense:
            vectors = layer(vectors)
        vectors = normalize(vectors, dim=2) if self.normalised else vectors
        return vectors.masked_fill(~kept[:, :, None], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class LateStudent(ScoresOnly):
    """A `Student` that scores tokens. Merging of tokens, if its folder has it, is for serving: it learns without."""

    module: LateModule
    backbone: Backbone
    marking: Marking
    dim: int
    mean: bool
    pooling: TokenPooling | None

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query [its candidates]; a score depends on nothing but its pair. Equal texts are read once."""
        check_groups(queries, candidates)
        known = {text: row for row, text in enumerate(dict.fromkeys(chain.from_iterable(candidates)))}
        documents, asked = self.read(list(known), "document"), self.read(queries, "query")
        return [
            self.every_score(asked.rows([row]), documents.rows([known[text] for text in texts]))[0]
            for row, texts in enumerate(candidates)
        ]

    def every_score(
        self, queries: TokenTensors, documents: TokenTensors, numbers: int = NUMBERS_A_CHUNK
    ) -> torch.Tensor:
        """[queries, documents] of what `read` gave, by the model's scoring, in memory bounded by `numbers`."""
        found: torch.Tensor = self.module.scoring(queries, documents, numbers)
        return found

    def read(self, texts: Sequence[str], task: Task) -> TokenTensors:
        """The vectors of each text's tokens, in order. BadInput for a text of which no token counts."""
        marked = self.marking.mark(texts, task)
        longest = max(map(len, marked.ids), default=0)
        kept = torch.zeros(len(marked.ids), longest, dtype=torch.bool)
        for row, one in enumerate(marked.kept):
            if not one.any():
                raise BadInput(f"No token of {texts[row][:40]!r} counts, so it cannot be matched. Leave it out.")
            kept[row, : len(one)] = torch.from_numpy(one)
        kept = kept.to(self.device)

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, longest, self.dim, device=self.device)
            states = self._states(marked, group)
            found: torch.Tensor = self.module(states, kept[group, : states.shape[1]])
            return pad(found, (0, 0, 0, longest - found.shape[1]))

        return TokenTensors(in_passes([len(row) for row in marked.ids], self.device, work), kept)

    def save(self, folder: Path) -> None:
        """Write a folder that sentence-transformers' MultiVectorEncoder and the kind `late` open."""
        self.backbone.save(folder)
        dense = [_projection(layer) for layer in self.module.dense]
        model = LateModel(self.marking.texts, dense, self.module.normalised, self.pooling, self.mean)
        write_late(folder, model, self.marking.tokenizers["document"])
        write_scoring(folder, self.module.scoring)

    def _states(self, marked: Marked, rows: Sequence[int]) -> torch.Tensor:
        ids = [marked.ids[row].tolist() for row in rows]
        if not marked.hidden or all(marked.real[row] == len(marked.ids[row]) for row in rows):
            return self.backbone.states(ids)
        seen = padded([[1] * marked.real[row] + [0] * (len(marked.ids[row]) - marked.real[row]) for row in rows])
        given = {"input_ids": padded(ids, self.backbone.fill), "attention_mask": seen}
        states: torch.Tensor = self.backbone.model(
            **{name: tensor.to(self.device) for name, tensor in given.items()}
        ).last_hidden_state
        return states


def open_late(
    folder: Path, settings: LateSettings | None = None, running: BackboneSettings | None = None
) -> LateStudent:
    """The student of a late model's folder, or of a bare or one-vector encoder's: its projection begins at random.

    Without settings a late model's folder stays as it says.
    """
    running = running or BackboneSettings()
    told = read_late(folder) if is_late(folder) else None
    backbone = open_backbone(folder, running)
    prove_padding(backbone)
    backbone = backbone.packing() if running.attention == "auto" else backbone
    asked = settings or (None if told else LateSettings())
    texts = _texts(folder, told, asked, backbone.max_tokens)
    dense = _dense(told, asked, backbone.dim, running.seed)
    mean = asked.mean if asked is not None else bool(told and told.mean)
    marking, _ = open_marking(folder, texts)
    dim = int(dense[-1].linear.out_features) if dense else backbone.dim
    wanted = asked.scored() if asked is not None else read_scoring(folder)
    scoring = open_scoring(folder, wanted, dim, mean=mean, dropout=(asked or LateSettings()).pooling_dropout)
    module = LateModule(backbone.model, dense, told.normalised if told else True, scoring)
    return LateStudent(module.to(backbone.device), backbone, marking, dim, mean, told.pooling if told else None)


def _texts(folder: Path, told: LateFolder | None, asked: LateSettings | None, most: int) -> LateTexts:
    if asked is None:
        assert told is not None, "without a late folder there are settings"
        return told.texts
    lowercase = bool(read_json(folder / "sentence_bert_config.json", missing={}).get("do_lower_case", False))
    return asked.texts(most, lowercase=lowercase)


def _dense(told: LateFolder | None, asked: LateSettings | None, inputs: int, seed: int) -> list[Dense]:
    """The folder's layers with its weights, or one that begins at random from the seed."""
    wanted = asked.dim if asked is not None else 0
    if told is not None:
        layers = [_copied(layer) for layer in told.dense]
        dim = int(layers[-1].linear.out_features) if layers else inputs
        if wanted not in (0, dim):
            raise BadInput(f"dim is {wanted}, and the folder's own projection gives {dim} numbers. Leave dim out.")
        return layers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [Dense(torch.nn.Linear(inputs, wanted or DIM, bias=False), torch.nn.Identity())]


def _copied(layer: Any) -> Dense:
    inputs, outputs = layer.linear.weight.shape
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        linear = torch.nn.Linear(inputs, outputs, bias=bool(layer.linear.bias.any()))
        linear.weight.copy_(torch.from_numpy(layer.linear.weight.T.copy()))
        if layer.linear.bias.any():
            linear.bias.copy_(torch.from_numpy(layer.linear.bias.copy()))
    return Dense(linear, ACTIVATIONS[layer.activation]())


def _projection(layer: Any) -> Projection:
    names = {kind: name for name, kind in ACTIVATIONS.items()}
    weight, bias = layer.linear.weight.detach().cpu().float().numpy(), layer.linear.bias
    told = None if bias is None else bias.detach().cpu().float().numpy()
    return Projection(weight, told, names.get(type(layer.activation), IDENTITY))
