"""HTML: the text that a reader of the page would see, its blocks on lines of their own."""

import re
from collections.abc import Iterator
from typing import Any

from retr.retrieval.corpus.decoding import decode
from retr.retrieval.corpus.opening import read_whole
from retr.retrieval.corpus.records import file_document
from retr.retrieval.corpus.report import Problem
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document

MARKUP_FACTOR = 8
"""How much larger than max_document_bytes a page may be: most of it is markup."""

_DROPPED = "script,style,nav,template,noscript,svg,iframe,object"
_PARAGRAPHS = (
    "p,h1,h2,h3,h4,h5,h6,ul,ol,dl,table,pre,blockquote,section,article,header,footer,main,aside,figure,form,hr"
)
_LINES = "li,dt,dd,tr,div,br,caption,figcaption,option,legend,fieldset,address,details,summary"
# Private-use characters that stand for breaks while white space is collapsed, as HTML has it.
_PARAGRAPH, _LINE = "\ue000", "\ue001"
_CHARSET = re.compile(
    rb"""<(?:meta[^>]{0,200}?charset|\?xml[^>]{0,200}?encoding)\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE
)


def read_html(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The page as one document. The charset its head declares is honoured where no BOM or --encoding says otherwise."""
    markup, fault = page_markup(file, settings)
    if fault:
        yield file.problem(fault, "repaired")
    title, text = page_text(markup)
    yield file_document(file, settings, text, title)


def page_markup(file: SourceFile, settings: ReadSettings) -> tuple[str, str]:
    """The markup, and what is wrong with its encoding."""
    data = read_whole(file, settings.max_document_bytes * MARKUP_FACTOR)
    return decode(data, settings, _declared(data))


def page_text(markup: str) -> tuple[str, str]:
    """Title (`<title>`, else the first `<h1>`, else empty) and visible text of a page."""
    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(markup.translate({ord(_PARAGRAPH): " ", ord(_LINE): " "}))
    named = page.css_first("head > title") or page.css_first("h1")
    title = " ".join(named.text().split()) if named else ""
    for node in page.css(_DROPPED):
        node.decompose()
    if page.body is None:
        return title, ""
    for node in page.css("pre"):
        node.replace_with(_PARAGRAPH + node.text().replace("\n", _LINE) + _PARAGRAPH)
    _surround(page, _PARAGRAPHS, _PARAGRAPH)
    _surround(page, _LINES, _LINE)
    _surround(page, "td,th", " ")
    return title, _collapse(page.body.text())


def _surround(page: Any, selector: str, mark: str) -> None:
    for node in page.css(selector):
        node.insert_before(mark)
        node.insert_after(mark)


def _collapse(text: str) -> str:
    paragraphs = []
    for block in text.split(_PARAGRAPH):
        lines = (" ".join(line.split()) for line in block.split(_LINE))
        paragraphs.append("\n".join(line for line in lines if line))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _declared(data: bytes) -> str:
    found = _CHARSET.search(data[:4096])
    return found[1].decode("ascii", "replace") if found else ""
