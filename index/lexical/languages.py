"""The languages that the lexical index can stem. Apart from it, so that settings can be checked without tantivy."""

from retr.retrieval.errors import BadInput

STOPWORDS = frozenset(
    {
        *("danish", "dutch", "english", "finnish", "french", "german", "hungarian"),
        *("italian", "norwegian", "portuguese", "russian", "spanish", "swedish"),
    }
)
"""Languages whose most common words are left out of the index."""

LANGUAGES = tuple(sorted({*STOPWORDS, "arabic", "greek", "romanian", "tamil", "turkish"}))
"""Languages with a stemmer; `none` indexes words as they are."""


def check_language(language: str) -> str:
    """The language itself, or BadInput."""
    if language != "none" and language not in LANGUAGES:
        raise BadInput(f"No stemmer for the language {language!r}. Known: {', '.join(LANGUAGES)}, none.")
    return language
