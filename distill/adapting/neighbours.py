"""The documents as an index of one encoder, and the passages near to a question that its pair does not hold."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retr.distill.adapting.material import DOCUMENTS, PSEUDO, documents_in, pairs_in
from retr.distill.adapting.settings import AdaptSettings
from retr.distill.adapting.stages import Report, read_lines, write_lines
from retr.distill.mining import MiningSettings, mine
from retr.index.collection import Collection
from retr.index.disk.manifest import holds_index
from retr.index.settings import CollectionSettings, WriteSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels


@dataclass(frozen=True, slots=True)
class Documents:
    """What is indexed, and how: as the live index cuts texts, where there is one."""

    material: Path
    count: int
    settings: CollectionSettings = field(default_factory=CollectionSettings)

    def indexed(self, folder: Path, encoder: Encoder, spec: str, name: str, report: Report) -> Collection:
        """A collection of these documents and no others; one that was begun is gone on with."""
        if holds_index(folder):
            made = Collection.open(folder, load=lambda _: encoder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            made = Collection.create(folder, encoder=encoder, spec=spec, settings=self.settings)
        made.add(self._counted(f"documents encoded {name}", report), settings=WriteSettings(mirror=True))
        return made

    def _counted(self, unit: str, report: Report) -> Iterator[Document]:
        for number, document in enumerate(documents_in(self.material / DOCUMENTS), start=1):
            yield document
            report(unit, number, self.count)


def write_rows(
    collection: Collection, material: Path, out: Path, settings: AdaptSettings, report: Report
) -> dict[str, Any]:
    """Each pair with negatives: near passages of other documents, none of a held-out one; the counts.

    Whether one of them answers too is the teacher's to say, or, without one, the objective's: nothing is dropped here.
    """
    pairs = pairs_in(material)
    held = {line["id"] for line in read_lines(material / PSEUDO)}
    queries = [Query(str(number), pair.query) for number, pair in enumerate(pairs)]
    qrels = Qrels({str(number): {pair.positive_id: 1} for number, pair in enumerate(pairs)})
    chosen = MiningSettings(
        mode="dense", depth=settings.depth, negatives=settings.negatives, sample="weighted", seed=settings.seed
    )
    negatives = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal negatives
        for mined in mine(collection, queries, qrels, chosen, report=report):
            pair = pairs[int(mined.query.id)]
            near = [one for one in mined.negatives if one.id not in held and one.text != pair.positive]
            if not near:
                continue
            negatives += len(near)
            yield {
                "query": pair.query,
                "query_id": pair.query_id,
                "positive": pair.positive,
                "positive_id": pair.positive_id,
                "negatives": [one.text for one in near],
                "negative_ids": [one.id for one in near],
            }

    count = write_lines(out, rows())
    if not count:
        raise BadInput(
            f"None of the {len(pairs):,} pairs has a near passage of another document. Give more documents, or a "
            "larger depth."
        )
    return {"rows": count, "negatives": negatives}
