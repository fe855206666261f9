"""Links of a document: those in its Markdown or HTML, each with its place in the text, and those of its metadata."""

import re
from posixpath import dirname, join, normpath, splitext
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from retr.retrieval.corpus.formats import split_suffix
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import single_file
from retr.retrieval.corpus.web import page_markup, page_text
from retr.retrieval.records import Document

Link = tuple[int | None, str]
"""Where in the text, and the target as it is written; None: nowhere in it."""

_INLINE = re.compile(r"(?<!!)\[([^\[\]\n]*)\]\(\s*<?([^()\s<>]+)>?(?:\s+[\"'(][^)\n]*)?\)")
_WIKI = re.compile(r"\[\[([^\[\]|\n]+)(?:\|([^\[\]\n]+))?\]\]")
_FRONTS = ("index", "readme")
_OPEN, _CLOSE = "\ue002", "\ue003"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
WIKI = "[["
"""What a target begins with that is a page's title."""


def linked_text(document: Document, reading: ReadSettings, field: str | None, *, html: bool) -> tuple[str, list[Link]]:
    """The document's text with links as what they show, and its links; with `html` the page is read again for them."""
    stated: list[Link] = [(None, target) for target in _stated(document, field)]
    page = _page(document, reading) if html else None
    text, links = _unmarked(*page) if page else _unlinked(document.text)
    return text, stated + links


def names_of(id: str, title: str, url: str) -> set[str]:
    """What a link may call a page: its id, as a path also without its ending and by its folder, its URL, its title."""
    stem, _ = splitext(id)
    names = {id, stem, _address(url)} if url else {id, stem}
    if stem.rpartition("/")[2].lower() in _FRONTS:
        names.add(dirname(stem) or ".")
    return names | {WIKI + name.casefold() for name in (title, stem.rpartition("/")[2]) if name}


def candidates(target: str, source: str) -> list[str]:
    """Names that a link in the page `source` may mean, the likeliest first."""
    if target.startswith(WIKI):
        return [target.casefold()]
    if urlsplit(target).scheme in ("http", "https"):
        return [_address(target), target]
    path = unquote(urldefrag(target).url.partition("?")[0])
    if not path:
        return []
    inside = path.lstrip("/") if path.startswith("/") else join(dirname(source), path)
    return [normpath(inside), target, WIKI + target.casefold()]


def _stated(document: Document, field: str | None) -> list[str]:
    """The texts of the metadata field: one, or a list."""
    value: Any = document.metadata.get(field) if field else None
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and one]


def _unlinked(text: str) -> tuple[str, list[Link]]:
    """`[shown](target)`, `[[title]]` and `[[title|shown]]` as what they show."""
    parts: list[str] = []
    links: list[Link] = []
    place = end = 0
    found = sorted([*_INLINE.finditer(text), *_WIKI.finditer(text)], key=lambda match: match.start())
    for match in found:
        if match.start() < end:
            continue
        wiki = match.re is _WIKI
        shown, target = ((match[2] or match[1]), WIKI + match[1].strip()) if wiki else (match[1], match[2])
        parts += [text[end : match.start()], shown]
        place += match.start() - end
        links.append((place, target))
        place, end = place + len(shown), match.end()
    return "".join([*parts, text[end:]]), links


def _page(document: Document, reading: ReadSettings) -> tuple[str, list[str]] | None:
    """The page's text with a mark before what each link shows, and the targets; None where its file is not at hand."""
    from selectolax.lexbor import LexborHTMLParser

    path = str(document.source["path"])
    file = single_file(path, "", *split_suffix(path))
    if file.path is None or not file.path.is_file():
        return None
    markup, _ = page_markup(file, reading)
    page = LexborHTMLParser(markup.replace(_OPEN, " ").replace(_CLOSE, " "))
    targets: list[str] = []
    for node in page.css("a[href]"):
        node.insert_before(f"{_OPEN}{len(targets)}{_CLOSE}")
        targets.append(node.attributes.get("href") or "")
    return page_text(page.html or "")[1], targets


def _unmarked(text: str, targets: list[str]) -> tuple[str, list[Link]]:
    parts: list[str] = []
    links: list[Link] = []
    place = end = 0
    for match in _MARK.finditer(text):
        parts.append(text[end : match.start()])
        place += match.start() - end
        links.append((place, targets[int(match[1])]))
        end = match.end()
    return "".join([*parts, text[end:]]), links


def _address(url: str) -> str:
    return urldefrag(url).url.rstrip("/")
