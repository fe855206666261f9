"""From what the user named (files, folders, `-`) to the files that are read, each with the name its ids start with."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path, PurePath
from typing import Any

from retr.retrieval.corpus.formats import SEEKING, format_names, is_readable, split_suffix
from retr.retrieval.corpus.isolation import Isolation
from retr.retrieval.corpus.report import Outcome, Problem, ReadReport, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.pictures import LISTS

STDIN = "-"
BEIR_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz")


@dataclass(slots=True)
class SourceFile:
    """One file to read, and how far reading has come.

    `shown` is the path for messages, `name` what ids are made of, `relative` the path inside the folder given;
    `suffix` and `compression` choose the reader. `path` None is standard input, kept open in `stream`. `isolation` is
    where PDF and Office files are parsed.
    """

    path: Path | None
    shown: str
    name: str
    relative: str
    suffix: str
    compression: str = ""
    size: int = 0
    consumed: int = 0
    line: int | None = None
    stream: BufferedReader | None = None
    isolation: Isolation | None = None

    def parsed(self, parser: str, settings: ReadSettings) -> dict[str, Any]:
        """What a parser in a process of its own makes of the file; Rejected when it can make nothing of it."""
        assert self.path is not None and self.isolation is not None
        return self.isolation.parse(parser, self.path, settings.max_document_bytes)

    def problem(self, reason: str, outcome: Outcome = "skipped") -> Problem:
        """A problem at the line reached."""
        return Problem(one_line(self.shown), self.line, reason, outcome)


def find_files(sources: Sequence[str | Path], settings: ReadSettings, report: ReadReport) -> list[SourceFile]:
    """Every file of the sources, in order, each once.

    One folder's files are named by their paths inside it. With several sources each is known by its own name, made
    longer to the left until it differs from the others': so the same path in two folders never gives the same id,
    and names depend on the sources alone, not on what happens to lie in them.
    """
    given = _distinct(sources)
    if not given or "" in given:
        raise BadInput("No source was given. Name files or folders, or - for standard input.")
    labels = _labels(given)
    files: list[SourceFile] = []
    seen: set[Path] = set()
    for source in given:
        for file in _files_of(source, labels[source] if len(given) > 1 else "", settings, report):
            real = Path(STDIN) if file.path is None else file.path.resolve()
            if real not in seen:
                seen.add(real)
                files.append(file)
    _check_names(files)
    for file in files:
        file.size = file.path.stat().st_size if file.path is not None else 0
    report.bytes_total += sum(file.size for file in files)
    return files


def single_file(source: str, label: str, suffix: str, compression: str) -> SourceFile:
    """A file that was named directly."""
    name = label or Path(source).name
    return SourceFile(Path(source), source, name, Path(source).name, suffix, compression)


def check_exists(source: str) -> Path:
    """The path, or NotFound with near names from the same folder."""
    path = Path(source)
    try:
        if path.exists():
            return path
        folder = path.parent
        near = get_close_matches(path.name, os.listdir(folder)[:10_000], n=3) if folder.is_dir() else []
    except (OSError, ValueError) as error:
        raise BadInput(one_line(f"{source!r} cannot be read: {getattr(error, 'strerror', None) or error}.")) from None
    hint = f" Did you mean {' or '.join(repr(str(folder / name)) for name in near)}?" if near else ""
    where = "" if folder.is_dir() else f" The folder {str(folder)!r} does not exist either."
    raise NotFound(one_line(f"No file or folder {source!r}.{hint}{where}"))


def _files_of(source: str, label: str, settings: ReadSettings, report: ReadReport) -> list[SourceFile]:
    if source == STDIN:
        return [_standard_input(settings)]
    path = check_exists(source)
    if not path.is_dir():
        return [_named_file(source, label, settings)]
    for name in (*BEIR_CORPORA, *(LISTS if settings.images else ())):
        if not settings.format and (path / name).is_file():
            file = single_file(str(path / name), f"{label}/{name}" if label else "", *split_suffix(name))
            return [file]
    return _folder_files(path, label, settings, report)


def _standard_input(settings: ReadSettings) -> SourceFile:
    if settings.suffix in SEEKING:
        raise BadInput(f"{settings.format} cannot be read from standard input. Save it as a file and name that.")
    return SourceFile(None, "stdin", "stdin", "stdin", settings.suffix)


def _named_file(source: str, label: str, settings: ReadSettings) -> SourceFile:
    suffix, compression = split_suffix(source)
    suffix = settings.suffix or suffix
    if not is_readable(suffix, compression, images=settings.images):
        what, known = suffix + compression or "no suffix", format_names(images=settings.images)
        raise BadInput(
            one_line(f"{source!r} ({what}) is of no kind that can be read. Kinds: {', '.join(known)}")
            + " (text and row formats also .gz, .bz2, .xz, .zst). Say which it is with --format."
        )
    return single_file(source, label, suffix, compression)


def _folder_files(root: Path, label: str, settings: ReadSettings, report: ReadReport) -> list[SourceFile]:
    files = []
    before = report.ignored.copy()
    for relative in _walk(root, settings, report):
        suffix, compression = split_suffix(relative)
        suffix = settings.suffix or suffix
        if not is_readable(suffix, compression, images=settings.images):
            report.ignored[suffix + compression] += 1
            continue
        name = f"{label}/{relative}" if label else relative
        files.append(SourceFile(root / relative, str(root / relative), name, relative, suffix, compression))
    if not files and report.skipped == 0:
        seen = ReadReport(ignored=report.ignored - before).ignored_text() or "it holds no files"
        limits = " that --include and --exclude let through" if settings.include or settings.exclude else ""
        raise BadInput(
            one_line(f"Nothing to read in the folder {str(root)!r}{limits}: {seen}.")
            + f" Kinds: {', '.join(format_names(images=settings.images))}."
        )
    return files


def _walk(root: Path, settings: ReadSettings, report: ReadReport) -> Iterator[str]:
    """Paths inside the folder, sorted, as posix text; hidden ones, excluded ones and links that lead out left out."""
    real_root = root.resolve()

    def unreadable(error: OSError) -> None:
        place = one_line(error.filename)
        report.take(Problem(place, None, f"the folder cannot be read: {error.strerror}"), settings.on_error)

    for folder, folders, names in os.walk(root, onerror=unreadable):
        inside = Path(folder).relative_to(root)
        folders[:] = list(_entered(Path(folder), inside, sorted(folders), settings, report))
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        for name in [*sorted(names), *linked]:
            relative = (inside / name).as_posix()
            if name.startswith(".") or not _wanted(relative, settings):
                continue
            path = Path(folder, name)
            reason = _refusal(path, real_root)
            if reason:
                report.take(Problem(one_line(path), None, reason, "noted"), settings.on_error)
            elif path.is_file():
                yield relative


def _entered(folder: Path, inside: Path, names: list[str], settings: ReadSettings, report: ReadReport) -> Iterator[str]:
    """The folders in a folder that are read: not the hidden and excluded ones, and no index."""
    for name in names:
        if name.startswith(".") or _matches((inside / name).as_posix(), settings.exclude):
            continue
        if _is_index(folder / name):
            note = Problem(one_line(folder / name), None, "ignored: an index that retr made", "noted")
            report.take(note, settings.on_error)
        else:
            yield name


def _is_index(folder: Path) -> bool:
    """Whether retr made the folder: an index may lie among the documents it was made from."""
    return os.path.isfile(folder / "CURRENT") and next(folder.glob("manifest-*.json"), None) is not None


def _refusal(path: Path, real_root: Path) -> str:
    """Why a path in a folder is not read, or an empty string."""
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(real_root):
            return "ignored: a link that leads out of the folder"
    except (OSError, RuntimeError):
        return "ignored: a link that leads nowhere"
    return "" if path.is_file() or path.is_dir() else "ignored: not a regular file"


def _wanted(relative: str, settings: ReadSettings) -> bool:
    included = not settings.include or _matches(relative, settings.include)
    return included and not _matches(relative, settings.exclude)


def _matches(relative: str, patterns: tuple[str, ...]) -> bool:
    name = PurePath(relative).name
    return any(fnmatchcase(relative, pattern) or fnmatchcase(name, pattern) for pattern in patterns)


def _distinct(sources: Sequence[str | Path]) -> list[str]:
    """The sources as given, without those that name the same path once more."""
    by_path: dict[str, str] = {}
    for source in map(str, sources):
        by_path.setdefault(os.path.abspath(source) if source not in (STDIN, "") else source, source)
    return list(by_path.values())


def _labels(given: list[str]) -> dict[str, str]:
    """A short name a source; those that share one get more of their path."""
    parts = {source: Path(os.path.abspath(source)).parts for source in given}
    depth = dict.fromkeys(given, 1)

    def label(source: str) -> str:
        return "/".join(parts[source][-depth[source] :]).replace("//", "/")

    for _ in range(max(len(names) for names in parts.values())):
        by_label: dict[str, list[str]] = {}
        for source in given:
            by_label.setdefault(label(source), []).append(source)
        for clashing in by_label.values():
            if len(clashing) > 1:
                depth.update({source: depth[source] + 1 for source in clashing})
    return {source: label(source) for source in given}


def _check_names(files: list[SourceFile]) -> None:
    owner: dict[str, str] = {}
    for file in files:
        other = owner.setdefault(file.name, file.shown)
        if other != file.shown:
            raise BadInput(
                one_line(f"{other!r} and {file.shown!r} would both be called {file.name!r}.")
                + " Name the folder that holds them both instead."
            )
