"""Bytes to text without silent damage: BOM, then UTF-8, then a guess that must be a good one and is reported."""

import codecs
from dataclasses import dataclass

from retr.retrieval.corpus.report import Outcome, Rejected
from retr.retrieval.corpus.settings import ReadSettings

SAMPLE_BYTES = 1 << 16
MIN_COHERENCE = 0.3
"""Share of letters in the order of frequency of a known language, by charset-normalizer. Below, a guess is a gamble."""

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


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be said about how bytes were decoded; an empty `reason` is nothing."""

    reason: str = ""
    outcome: Outcome = "noted"


def encoding_of(sample: bytes, settings: ReadSettings, declared: str = "") -> tuple[str, Remark]:
    """The codec to read with, from the file's first bytes; `declared` is what the file says of itself."""
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name, Remark()
    if settings.encoding is not None:
        return codecs.lookup(settings.encoding).name, Remark()
    if declared and _known(declared):
        return _known(declared), Remark()
    if _is_utf8(sample):
        return "utf-8", Remark()
    guess, good = _guess(sample)
    if good:
        return guess, Remark(f"not UTF-8; read as {guess}, which was guessed. Say --encoding if that is wrong")
    return "utf-8", Remark()


def decode(data: bytes, settings: ReadSettings, declared: str = "") -> tuple[str, Remark]:
    """A whole text. Bytes that do not decode are replaced, and the remark says "repaired"."""
    name, remark = encoding_of(data, settings, declared)
    try:
        return data.decode(name), remark
    except UnicodeDecodeError as error:
        return data.decode(name, "replace"), Remark(undecodable(error, name), "repaired")
    except UnicodeError as error:
        raise Rejected(f"does not decode as {name}: {error}") from None


def undecodable(error: UnicodeDecodeError, name: str) -> str:
    """The reason for bytes that do not decode, with a likely encoding where there is one."""
    byte = error.object[error.start]
    guess, _ = _guess(error.object[:SAMPLE_BYTES])
    hint = f" (it may be {guess})" if guess and guess != name else ""
    name = "UTF-8" if name.startswith("utf-8") else name
    return f"byte {error.start + 1} (0x{byte:02x}) is not {name}; say which encoding it is with --encoding{hint}"


def _known(label: str) -> str:
    try:
        "".encode(label)
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return ""
    return _AS_BROWSERS.get(name, name)


def _is_utf8(sample: bytes) -> bool:
    try:
        # Not final: the sample may end inside a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _guess(sample: bytes) -> tuple[str, bool]:
    """The likely encoding or an empty string, and whether its text reads like a known language."""
    from charset_normalizer import from_bytes

    best = from_bytes(sample[:SAMPLE_BYTES]).best()
    if best is None or best.encoding.startswith(("utf", "ascii")):
        return "", False
    return str(best.encoding), best.coherence >= MIN_COHERENCE
