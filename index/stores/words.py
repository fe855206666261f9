"""The terms of passages, as a store keeps them: counted here, so that every store counts alike."""

from collections import Counter

from retr.index.lexical.postings import analyzer
from retr.index.writing.passages import encoded_texts
from retr.retrieval.store import StoredDocument


def counted(stored: StoredDocument, language: str) -> list[Counter[str]]:
    """How often each term stands in each passage with its title, as the index folder's postings have it."""
    analyze = analyzer(language).analyze
    return [Counter(analyze(text)) for text in encoded_texts(stored.document, stored.spans)]
