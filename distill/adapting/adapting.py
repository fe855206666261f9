"""`adapt`: pairs out of documents, near passages, a teacher's labels, training, and before beside after."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retr.distill.adapting.cycle import train_in_cycles
from retr.distill.adapting.material import gather
from retr.distill.adapting.measuring import Questions, measure
from retr.distill.adapting.neighbours import Documents, write_rows
from retr.distill.adapting.questions import Questioner, open_questioners
from retr.distill.adapting.reporting import FIGURE, PAGE, RECORD, draw, page
from retr.distill.adapting.settings import AdaptSettings
from retr.distill.adapting.stages import (
    FIRST,
    RUN,
    Report,
    Stages,
    check_asked,
    digested,
    read_json,
    read_lines,
    write_json,
)
from retr.distill.adapting.starting import need_packages, start_folder
from retr.distill.adapting.teaching import check_teachers, label, method_of, objective_of, train
from retr.distill.folder import check_new
from retr.distill.labelling.store import Labels
from retr.distill.labelling.teachers import Teacher, open_teacher
from retr.encoders import load_encoder
from retr.encoders.bulk.folder import locked, sync_folder
from retr.index.collection import Collection
from retr.index.settings import CollectionSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels
from retr.retrieval.version import VERSION

FEWEST_QUERIES = 2
Read = Callable[[], Iterable[Document]]
"""The documents, read when they are needed: a run that goes on has its own copy of them."""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What is asked for. `encoder` is what to begin with, `teachers` are specs, none or several to be averaged.

    With queries and qrels the outcome is measured on them, with queries alone on agreement with the teacher, without
    either on pseudo questions. `collection` says how texts are cut. `sources` only name the documents in the record.
    """

    out: Path
    encoder: str
    teachers: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ()
    qrels: Qrels | None = None
    settings: AdaptSettings = field(default_factory=AdaptSettings)
    collection: CollectionSettings = field(default_factory=CollectionSettings)
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse judgements of no queries, and queries that nobody can say anything of."""
        method_of(self.settings, self.teachers)
        if self.qrels is not None and not self.queries:
            raise BadInput("Judgements are given and no queries. Give both.")
        if self.queries and self.qrels is None and not self.teachers:
            raise BadInput(
                "Queries without judgements are measured by agreement with a teacher, and there is none. Give qrels, "
                "a teacher, or no queries: then pseudo questions are made of the documents."
            )
        usable = [query for query in self.queries if self.qrels is None or self.qrels.grades.get(query.id)]
        if self.queries and len(usable) < FEWEST_QUERIES:
            raise BadInput(
                f"{len(usable)} of the {len(self.queries)} queries can be measured, and a comparison needs "
                f"{FEWEST_QUERIES}, better fifty. Give queries and qrels of one set."
            )

    @property
    def work(self) -> Path:
        """Where stages are kept."""
        return self.out.absolute().with_name(f"{self.out.name}.adapting")

    def asked(self, questioners: Sequence[Questioner]) -> dict[str, Any]:
        """What decides the outcome, as JSON values, but for what files hold."""
        return {
            "encoder": self.encoder,
            "teachers": list(self.teachers),
            "sources": list(self.sources),
            "queries": [[query.id, query.text] for query in self.queries],
            "qrels": None if self.qrels is None else {id: dict(grades) for id, grades in self.qrels.grades.items()},
            "settings": asdict(self.settings),
            "collection": asdict(self.collection),
            "questioners": [[one.name, one.fingerprint] for one in questioners],
        }


def adapt(
    asked: Adaptation,
    documents: Read,
    *,
    questioners: Sequence[Questioner] | None = None,
    report: Report = lambda unit, done, total: None,
) -> dict[str, Any]:
    """Make the encoder `asked.out`, measured beside the one it was; what its adaptation.json says.

    Stages are kept in OUT.adapting: cut off at any instant, the same call goes on, with the documents that it read
    then. Where OUT is there already, of the same call, its record is returned. Mismatch for another call.
    """
    settings = asked.settings
    given = tuple(questioners) if questioners else open_questioners((), settings.language, settings.seed)
    wanted = digested(asked.asked(given))
    if (asked.out / RECORD).is_file():
        record = read_json(asked.out / RECORD)
        check_asked(record["asked"], wanted, asked.out)
        _clean(asked.work)
        return record
    check_new(asked.out)
    start = start_folder(asked.encoder)
    need_packages()
    asked.work.mkdir(exist_ok=True)
    with locked(asked.work):
        stages = Stages(asked.work)
        stages.check_same(wanted)
        record = _Run(asked, stages, start, given, report).whole(documents, wanted)
    _clean(asked.work)
    return record


def begun_with(out: Path) -> str:
    """The encoder that an earlier call for this folder began with; empty where there was none."""
    for path in (out / RECORD, out.absolute().with_name(f"{out.name}.adapting") / RUN):
        if path.is_file():
            told = read_json(path)
            return str(told.get("asked", told)["encoder"])
    return ""


@dataclass(frozen=True, slots=True)
class _Run:
    asked: Adaptation
    stages: Stages
    start: Path
    questioners: Sequence[Questioner]
    report: Report

    def whole(self, documents: Read, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Every stage that is not done yet."""
        asked, stages = self.asked, self.stages
        method = method_of(asked.settings, asked.teachers)
        teachers = [open_teacher(spec) for spec in asked.teachers]
        check_teachers(method, teachers, load_encoder(f"bi={self.start}").dim)
        gathered = stages.done(FIRST, lambda: self._gathered(documents))
        counts = gathered | stages.done("rows", lambda: self._mined(gathered["documents"]))
        labels = self._labelled(method, teachers)
        trained = stages.done("training", lambda: self._trained(method, teachers, labels))
        measured = stages.done("evaluation", lambda: self._measured(counts["documents"], teachers))
        record = {
            "retr": VERSION,
            "start": asked.encoder,
            "teachers": [{"name": one.name, "fingerprint": one.fingerprint} for one in teachers],
            "method": method,
            "questioners": [one.name for one in self.questioners],
            "settings": asdict(asked.settings),
            "counts": counts,
            "training": trained,
            measured["kind"]: {name: value for name, value in measured.items() if name not in ("kind", "values")},
            "evaluation": measured["kind"],
            "recommended": measured["better"],
            "asked": dict(wanted),
        }
        self._finish(record, measured)
        return record

    def _gathered(self, documents: Read) -> dict[str, Any]:
        """Documents and pairs; they are indexed within the stage, so that what no index takes is not kept."""
        asked, folder = self.asked, self.stages.folder / "material"
        hold_out = not asked.queries
        found = gather(
            documents(), folder, asked.settings, self.questioners, hold_out=hold_out, report=self.report
        )  # fmt: skip
        self._before(found["documents"])
        return found

    def _before(self, count: int) -> Collection:
        spec = f"bi={self.start}"
        return self._documents(count).indexed(
            self.stages.folder / "before", load_encoder(spec), spec, "before", self.report
        )

    def _documents(self, count: int) -> Documents:
        return Documents(self.stages.folder / "material", count, self.asked.collection)

    def _mined(self, count: int) -> dict[str, Any]:
        work = self.stages.folder
        return write_rows(
            self._before(count), work / "material", work / "rows.jsonl", self.asked.settings, self.report
        )  # fmt: skip

    def _labelled(self, method: str, teachers: Sequence[Teacher]) -> Labels | None:
        """The labels' folder is a stage of its own kind: it knows itself what it lacks."""
        work = self.stages.folder
        if not teachers:
            return None
        if not (work / "labels.done.json").exists():
            label(work / "rows.jsonl", work / "labels", method, teachers, self.report)
            write_json(work / "labels.done.json", {"labels": "labels"})
        return Labels(work / "labels")

    def _trained(self, method: str, teachers: Sequence[Teacher], labels: Labels | None) -> dict[str, Any]:
        work, asked = self.stages.folder, self.asked
        out = work / "model"
        if method == "trans-encoder":
            return train_in_cycles(self.start, work, out, asked.settings, self.report)
        if not out.exists():
            told = {"adapted": asked.encoder, "method": method, "teachers": list(asked.teachers)}
            objective = objective_of(method, labels, teachers)
            train(self.start, work / "rows.jsonl", out, asked.settings, objective, told).run(out, self.report)
        made = read_json(out / "retr.json")["training"]
        return {"steps": made["steps"], "seconds": made["seconds"], "objective": made["objective"]}

    def _measured(self, count: int, teachers: Sequence[Teacher]) -> dict[str, Any]:
        work = self.stages.folder
        spec = f"bi={work / 'model'}"
        after = self._documents(count).indexed(work / "after", load_encoder(spec), spec, "after", self.report)
        return measure(self._before(count), after, self._questions(), self.asked.settings, teachers)

    def _questions(self) -> Questions:
        asked = self.asked
        if asked.qrels is not None:
            judged = {
                query.id: asked.qrels.grades[query.id] for query in asked.queries if query.id in asked.qrels.grades
            }
            return Questions("judged", asked.queries, Qrels(judged))
        if asked.queries:
            return Questions("agreement", asked.queries)
        pseudo = list(read_lines(self.stages.folder / "material" / "pseudo.jsonl"))
        queries = tuple(Query(line["id"], line["query"]) for line in pseudo)
        return Questions("pseudo", queries, Qrels({line["id"]: {line["id"]: 1} for line in pseudo}))

    def _finish(self, record: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
        """The report into the model's folder, and the folder into place, in one step."""
        model = self.stages.folder / "model"
        drawn = draw(measured, model / FIGURE)
        (model / PAGE).write_text(page(record, measured, drawn=drawn), encoding="utf-8")
        write_json(model / "values.json", {"metric": measured["metric"], "values": measured["values"]})
        write_json(model / RECORD, record)
        sync_folder(model)
        os.replace(model, self.asked.out)
        sync_folder(self.asked.out.absolute().parent)


def _clean(work: Path) -> None:
    """Remove both collections, which take the most room, once all is done."""
    for name in ("before", "after"):
        shutil.rmtree(work / name, ignore_errors=True)
