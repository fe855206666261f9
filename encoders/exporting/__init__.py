"""A model folder to one that is fast and portable, with the proof that it is the same model."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.kinds import Spec, resolve

if TYPE_CHECKING:
    from retr.encoders.exporting.process import Exported
    from retr.encoders.exporting.settings import ExportSettings

EXPORTERS = {
    "bi": "retr.encoders.exporting.bi:open_source",
    "cross": "retr.encoders.exporting.cross:open_source",
    "uni": "retr.encoders.exporting.uni:open_source",
    "poly": "retr.encoders.exporting.poly:open_source",
    "late": "retr.encoders.exporting.late:open_source",
    "llm": "retr.encoders.exporting.llm:open_source",
    "filip": "retr.encoders.exporting.filip:open_source",
}
"""Kind to a callable `(folder, name, texts) -> Exportable`."""

__all__ = ["EXPORTERS", "export"]


def export(
    spec: str,
    out: str | Path,
    *,
    settings: "ExportSettings | None" = None,
    texts: str | Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> "Exported":
    """Export `KIND=SOURCE` into the folder `out`; or a folder, which tells its kind, or a hub name, of the kind `bi`.

    `texts`: documents like those that will be encoded, on which the choice and the comparison are made.
    """
    from retr.encoders.exporting.process import export_subject
    from retr.encoders.exporting.settings import ExportSettings
    from retr.encoders.exporting.staging import check_free
    from retr.encoders.exporting.texts import built_in, read_texts
    from retr.encoders.reading.folder import reading

    parsed, settings, out = _parse(spec), settings or ExportSettings(), Path(out).expanduser()
    if parsed.kind not in EXPORTERS:
        raise unknown("kind of model to export", parsed.kind, EXPORTERS)
    folder, name = _source(parsed)
    check_free(out, folder, force=settings.force)
    chosen = built_in() if texts is None else read_texts(Path(texts))
    with reading(folder):
        subject = resolve(parsed.kind, EXPORTERS, "kind of model to export")(folder, name, chosen)
    return export_subject(subject, out, settings, report)


def _parse(spec: str) -> Spec:
    """The spec with its kind; a folder for which none is written tells what retr trained it as."""
    from retr.encoders.reading.kinds import kind_of

    parsed = Spec.parse(spec, default_kind="bi")
    if "=" in spec or not Path(parsed.source).expanduser().is_dir():
        return parsed
    return Spec(kind_of(parsed.source, EXPORTERS, "bi"), parsed.source)


def _source(spec: Spec) -> tuple[Path, str]:
    """The original's folder and name; BadInput for what has nothing more to give than it is."""
    from retr.encoders.models import MODELS
    from retr.encoders.reading import hub
    from retr.encoders.reading.folder import read_json
    from retr.encoders.reading.record import RECORD

    path, name = Path(spec.source).expanduser(), ""
    if spec.source in MODELS:
        raise BadInput(f"{spec.source} comes with retr in int8 alone. Export from the folder of the float32 model.")
    if not path.is_dir() and hub.is_hub_name(spec.source):
        path, name = hub.fetch(spec.source), spec.source
    if not path.is_dir():
        raise BadInput(f"There is no model folder {spec.source!r}. Give one that sentence-transformers saved.")
    exported = read_json(path / RECORD, missing={}).get("export")
    if exported is not None:
        raise BadInput(f"{path} is an export itself. Export again from the model that it was made from.")
    names = read_json(path / "config.json", missing={}).get("architectures") or [""]
    if spec.kind == "bi" and str(names[0]).endswith("SequenceClassification") and not (path / "modules.json").is_file():
        raise BadInput(f"{path} is a classifier: to export it as a reranker, write cross={spec.source}.")
    return path, name
