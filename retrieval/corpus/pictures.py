"""Images as documents: files of a folder, and rows that name one. Each is decoded, so that a broken one is told."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retr.retrieval.corpus.report import Problem, Rejected
from retr.retrieval.errors import RetrError
from retr.retrieval.pictures import check_pillow, picture_facts
from retr.retrieval.records import Document

if TYPE_CHECKING:
    from retr.retrieval.corpus.settings import ReadSettings
    from retr.retrieval.corpus.sources import SourceFile

Facts = tuple[Mapping[str, Any], Mapping[str, Any]]


def read_picture(file: "SourceFile", settings: "ReadSettings") -> Iterator[Document | Problem]:
    """An image file as one document without a text."""
    from retr.retrieval.corpus.records import file_facts, file_id

    told, source = _facts(file.relative, _root(file), "the image")
    file.consumed += file.size
    yield Document(file_id(file), "", "", {**file_facts(file), **told}, {"path": file.shown, **source})


def row_picture(file: "SourceFile", path: Any) -> Facts:
    """What metadata and source tell of an image that a row names, by its path from the folder of the row's file."""
    if not isinstance(path, str):
        raise Rejected(f"the image is not a path but a {type(path).__name__}; write images as files, and their paths")
    return _facts(path, Path() if file.path is None else file.path.parent, f"the image {path!r}")


def _facts(path: str, root: Path, name: str) -> Facts:
    check_pillow()
    try:
        return picture_facts(path, root, name=name)
    except RetrError as error:
        raise Rejected(str(error).rstrip(".")) from None


def _root(file: "SourceFile") -> Path:
    """The folder that was given, or the one in which a file is that was named by itself."""
    assert file.path is not None
    return file.path.parents[len(Path(file.relative).parts) - 1]
