"""The pairs that a Trans-Encoder learns from: each once, without its label, in one order and in both."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from retr.distill.labelling.keys import pair_id
from retr.encoders.bulk.folder import written
from retr.encoders.training.rows import Rows, RowsSettings
from retr.retrieval.errors import BadInput

AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Pairs:
    """Three files: the pairs as they were stored, both orders of each, and texts alone.

    `left_out` is how many pairs were not taken because they are held out.
    """

    folder: Path
    count: int
    texts: int
    left_out: int

    @property
    def one(self) -> RowsSettings:
        """Each pair in its stored order."""
        return RowsSettings(str(self.folder / "pairs.jsonl"))

    @property
    def both(self) -> RowsSettings:
        """Each pair in both orders."""
        return RowsSettings(str(self.folder / "both.jsonl"))

    @property
    def alone(self) -> RowsSettings:
        """Texts alone, each its own positive."""
        return RowsSettings(str(self.folder / "texts.jsonl"), query="text", positive="text")


def write_pairs(data: RowsSettings, held_out: RowsSettings | None, folder: Path, texts: int) -> Pairs:
    """Read the files once; what is in `held_out`, in either order, is not taken. `texts` at most, 0 for all.

    The order depends on what the pairs are, not on where they stand, and on no label.
    """
    folder.mkdir(exist_ok=True)
    facts = folder / "pairs.json"
    if not facts.exists():
        known = {pair_id(a, b, symmetric=True) for a, b in _read(held_out, folder)} if held_out else set()
        every = list(_read(data, folder))
        pairs = [(a, b) for a, b in every if pair_id(a, b, symmetric=True) not in known]
        if not pairs:
            raise BadInput("Every pair of [data] is in [validation] too, so none is left to learn from.")
        alone = list(dict.fromkeys(text for pair in pairs for text in pair))[: texts or None]
        _write(folder / "pairs.jsonl", ({"query": a, "positive": b} for a, b in pairs))
        _write(folder / "both.jsonl", ({"query": a, "positive": b} for one in pairs for a, b in (one, one[::-1])))
        _write(folder / "texts.jsonl", ({"text": text} for text in alone))
        told = Pairs(folder, len(pairs), len(alone), len(every) - len(pairs))
        _write(facts, [{name: value for name, value in asdict(told).items() if name != "folder"}])
    return Pairs(folder=folder, **json.loads(facts.read_text()))


def _read(data: RowsSettings, folder: Path) -> Iterator[tuple[str, str]]:
    rows = Rows(RowsSettings(data.files, query=data.query, positive=data.positive), folder / "read")
    try:
        for batch in rows.every(AT_ONCE):
            yield from zip(batch.queries, batch.positives, strict=True)
    finally:
        rows.close()


def _write(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    with written(path) as file:
        for line in lines:
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
