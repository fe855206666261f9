"""Bytes to text without silent damage: a byte order mark, what was asked for, what a page declares, else UTF-8.

Nothing is guessed. Detectors cannot tell the one-byte encodings apart on texts of a few lines (a good one took French
in windows-1252 for Baltic, and was sure of it), and a wrong guess is damage that nobody notices.
"""

import codecs

from retr.retrieval.corpus.settings import ReadSettings

# UTF-32-LE starts with UTF-16-LE's mark, so it has to come first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What browsers read under these labels: pages that say latin-1 nearly always hold windows-1252.
_AS_BROWSERS = {"iso8859-1": "cp1252", "ascii": "cp1252"}


def encoding_of(start: bytes, settings: ReadSettings, declared: str = "") -> str:
    """The codec to read with, from the file's first bytes; `declared` is what the file says of itself."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    return settings.encoding or _known(declared) or "utf-8"


def decode(data: bytes, settings: ReadSettings, declared: str = "") -> tuple[str, str]:
    """A whole text, and what is wrong with its encoding: then the bytes that do not decode were replaced."""
    name = encoding_of(data, settings, declared)
    try:
        return data.decode(name), ""
    except UnicodeDecodeError as error:
        return data.decode(name, "replace"), undecodable(error, name)


def undecodable(error: UnicodeDecodeError, name: str) -> str:
    """The reason for bytes that do not decode."""
    name = "UTF-8" if name.startswith("utf-8") else name
    byte = error.object[error.start]
    return (
        f"byte {error.start + 1} (0x{byte:02x}) is not {name}; say which encoding it is with --encoding"
        " (windows-1252 for many older Western texts)"
    )


def _known(label: str) -> str:
    """Python's name of a declared encoding; an empty string for none or one that Python does not know."""
    try:
        "".encode(label)
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return ""
    return _AS_BROWSERS.get(name, name)
