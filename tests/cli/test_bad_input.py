"""Whatever is wrong with the input: one clear line, exit code 1, never a traceback; each case is a real process."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MADE = TemporaryDirectory(prefix="retr-bad-input-")
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PATH": os.environ["PATH"]}


@dataclass(frozen=True)
class Case:
    """A situation in a folder, the command in it, and what the one line must say."""

    name: str
    says: str
    command: list[str]
    prepare: Callable[[Path], object] = lambda folder: None


def file(name: str, content: str | bytes) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return write


def rows(*records: object) -> str:
    return "".join(record if isinstance(record, str) else json.dumps(record) + "\n" for record in records)


def parquet(columns: dict[str, list[object]]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), folder / "t.parquet")

    return write


def pdf(*, encrypted: bool) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        from pypdf import PdfWriter

        writer = PdfWriter()
        writer.add_blank_page(100, 100)
        if encrypted:
            writer.encrypt("secret", algorithm="RC4-128")
        writer.write(folder / "p.pdf")

    return write


def retr(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**ENVIRONMENT, "RETR_CACHE_DIR": str(folder / "cache"), "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "retr", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def once(files: Mapping[str, str], *commands: tuple[str, ...]) -> Callable[[Path], None]:
    """Some files and what commands make of them: made once in a process, and copied into each folder."""

    @cache
    def made() -> Path:
        folder = Path(MADE.name) / f"{len(list(Path(MADE.name).iterdir()))}"
        for name, text in files.items():
            file(name, text)(folder)
        for command in commands:
            ended = retr(folder, *command)
            assert ended.returncode == 0, ended.stderr
        return folder

    def copied(folder: Path) -> None:
        shutil.copytree(made(), folder, dirs_exist_ok=True)

    return copied


SMALL = rows({"id": "a", "text": "red fish", "year": 2020}, {"id": "b", "text": "blue bird"})
IN_WORDS = ("index", "good.jsonl", "--index", "ix", "--encoder", "none")
indexed = once({"good.jsonl": SMALL}, IN_WORDS)
"""A small lexical index in folder/ix, and its documents in good.jsonl."""
with_vectors = once(
    {"good.jsonl": rows({"id": "a", "text": "red fish"}, {"id": "b", "text": "blue bird"})},
    ("index", "good.jsonl", "--index", "ix"),
)
"""The same with vectors."""


def done(*commands: list[str]) -> Callable[[Path], object]:
    """The small lexical index after some commands."""
    return once({"good.jsonl": SMALL}, IN_WORDS, *((*command, "-i", "ix") for command in commands))


def with_index(change: Callable[[Path], object] = lambda folder: None) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        indexed(folder)
        change(folder)

    return prepare


def beir(folder: Path) -> None:
    """A BEIR folder in d, with one document."""
    file("d/corpus.jsonl", rows({"_id": "d", "text": "red"}))(folder)
    file("d/queries.jsonl", rows({"_id": "q", "text": "red"}))(folder)
    file("d/qrels/test.tsv", "q\td\t1\n")(folder)


def damage(pattern: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = sorted((folder / "ix").glob(pattern))[-1]
        path.write_bytes(change(path.read_bytes()))

    return with_index(apply)


def flip(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]


def index(source: str, *more: str) -> list[str]:
    return ["index", source, "--index", "new", "--encoder", "none", *more]


def vectors(*more: str, where: str = "new") -> list[str]:
    return ["index", "good.jsonl" if where == "ix" else "good.txt", "--index", where, *more]


def search(*more: str) -> list[str]:
    return ["search", "--index", "ix", *more]


BAD_ENCODER = [
    Case("kind", "No encoder named 'hash'. Known: bi", ["index", "good.txt", "-i", "new", "--encoder", "hash=x"]),
    Case("kind of scorer", "mvp goes with --rerank, not", ["index", "good.txt", "-i", "new", "--encoder", "mvp=x"]),
    Case("name", "no-such-model", ["index", "good.txt", "-i", "new", "--encoder", "./no-such-model"]),
    Case(
        "empty folder",
        "empty-model",
        ["index", "good.txt", "-i", "new", "--encoder", "./empty-model"],
        lambda folder: (folder / "empty-model").mkdir(),
    ),
    Case(
        "damaged tokenizer",
        "m/tokenizer.json",
        ["index", "good.txt", "-i", "new", "--encoder", "./m"],
        lambda folder: [
            file("m/config.json", '{"model_type": "bert"}')(folder),
            file("m/model.safetensors", b"junk" * 10)(folder),
            file("m/tokenizer.json", "{}")(folder),
        ],
    ),
    Case("module", "No module 'nowhere'", ["index", "good.txt", "-i", "new", "--encoder", "nowhere:Class=x"]),
    Case("attribute", "has no 'Nothing'", ["index", "good.txt", "-i", "new", "--encoder", "json:Nothing=x"]),
    Case("form", "not of the form", ["index", "good.txt", "-i", "new", "--encoder", "bi="]),
]

READING = [
    Case("no source", "Nothing to index", ["index", "--index", "new"]),
    Case("missing file", "goood.txt", index("goood.txt")),
    Case("missing folder", "no/such/folder", index("no/such/folder")),
    Case("empty file", "empty", index("e.txt"), file("e.txt", "")),
    Case("blank file", "empty text", index("e.txt"), file("e.txt", " \n\n ")),
    Case("empty folder", "nothing", index("d"), lambda folder: (folder / "d").mkdir()),
    Case("folder of other files", ".png", index("d"), file("d/x.png", b"\x89PNG")),
    Case("unknown suffix", ".xyz", index("x.xyz"), file("x.xyz", "text")),
    Case("binary junk", "j.txt", index("j.txt"), file("j.txt", bytes(range(256)) * 9)),
    Case("NUL bytes", "n.txt", index("n.txt"), file("n.txt", b"some\0text\0here")),
    Case(
        "bad UTF-8",
        "u.jsonl:2",
        index("u.jsonl"),
        file("u.jsonl", b'{"id":"a","text":"ok"}\n{"id":"b","text":"\xff\xfe"}\n'),
    ),
    Case(
        "wrong encoding",
        "w.txt",
        index("w.txt", "--encoding", "utf-8"),
        file("w.txt", "caf\xe9 cr\xe8me".encode("latin-1")),
    ),
    Case("unknown encoding", "klingon", index("good.txt", "--encoding", "klingon")),
    Case("broken JSON", "b.jsonl:2", index("b.jsonl"), file("b.jsonl", rows({"id": "a", "text": "x"}, '{"id": \n'))),
    Case("JSON of another shape", "l.jsonl:1", index("l.jsonl"), file("l.jsonl", "[1, 2]\n")),
    Case("JSON list cut off", "c.json", index("c.json"), file("c.json", '[{"id": "a", "text": "x"}, {"id"')),
    Case("no text field", "headline", index("t.jsonl"), file("t.jsonl", rows({"id": "a", "headline": "x"}))),
    Case(
        "wrong text field",
        "bodi",
        index("t.jsonl", "--text-field", "bodi"),
        file("t.jsonl", rows({"id": "a", "body": "x"})),
    ),
    Case(
        "wrong id field", "key", index("t.jsonl", "--id-field", "key"), file("t.jsonl", rows({"id": "a", "text": "x"}))
    ),
    Case("empty id", "t.jsonl:1", index("t.jsonl"), file("t.jsonl", rows({"id": "", "text": "x"}))),
    Case("long id", "512", index("t.jsonl"), file("t.jsonl", rows({"id": "x" * 600, "text": "x"}))),
    Case("text of another type", "t.jsonl:1", index("t.jsonl"), file("t.jsonl", rows({"id": "a", "text": ["x"]}))),
    Case(
        "empty text",
        "t.jsonl:2",
        index("t.jsonl"),
        file("t.jsonl", rows({"id": "a", "text": "x"}, {"id": "b", "text": ""})),
    ),
    Case("null text", "t.jsonl:1", index("t.jsonl"), file("t.jsonl", rows({"id": "a", "text": None}))),
    Case(
        "duplicate ids",
        "'a' comes twice",
        index("t.jsonl"),
        file("t.jsonl", rows({"id": "a", "text": "x"}, {"id": "a", "text": "y"})),
    ),
    Case("lone surrogate", "surrogate", index("t.jsonl"), file("t.jsonl", '{"id": "a", "text": "\\ud800"}\n')),
    Case(
        "huge line", "t.jsonl:1", index("t.jsonl"), file("t.jsonl", '{"id": "a", "text": "' + "x" * (65 << 20) + '"}')
    ),
    Case("huge text", "t.txt", index("t.txt"), file("t.txt", "word " * (3 << 20))),
    Case("CSV without the column", "titel", index("t.csv"), file("t.csv", "id,titel\n1,x\n")),
    Case("CSV with a cell too many", "t.csv:3", index("t.csv"), file("t.csv", "id,text\n1,x\n2,y,z\n")),
    Case("CSV with a cell too few", "t.csv:3", index("t.csv"), file("t.csv", "id,text\n1,x\n2\n")),
    Case("empty CSV", "t.csv", index("t.csv"), file("t.csv", "")),
    Case("damaged gzip", "t.jsonl.gz", index("t.jsonl.gz"), file("t.jsonl.gz", b"\x1f\x8bjunk")),
    Case("gzip cut off", "t.jsonl.gz", index("t.jsonl.gz"), file("t.jsonl.gz", gzip.compress(os.urandom(4000))[:-600])),
    Case("gzip bomb", "t.txt.gz", index("t.txt.gz"), file("t.txt.gz", gzip.compress(b"x" * (1 << 28)))),
    Case("damaged Parquet", "t.parquet", index("t.parquet"), file("t.parquet", b"PAR1 not really PAR1")),
    Case("Parquet without text", "t.parquet", index("t.parquet"), parquet({"id": ["a"], "n": [1]})),
    Case("Parquet without rows", "t.parquet", index("t.parquet"), parquet({"id": [], "text": []})),
    Case("damaged PDF", "p.pdf", index("p.pdf"), file("p.pdf", b"%PDF-1.7 junk")),
    Case("scanned PDF", "p.pdf", index("p.pdf"), pdf(encrypted=False)),
    Case("encrypted PDF", "p.pdf", index("p.pdf"), pdf(encrypted=True)),
    Case("HTML without text", "h.html", index("h.html"), file("h.html", "<html><script>x()</script></html>")),
    Case("BEIR corpus of another shape", "corpus.jsonl:1", index("d"), file("d/corpus.jsonl", '"text"\n')),
    Case("unknown format", "No format named 'docs'", index("good.txt", "--format", "docs")),
    Case("unknown on-error", "No --on-error named 'ignore'", index("good.txt", "--on-error", "ignore")),
    Case("long delimiter", "delimiter", index("good.txt", "--delimiter", "ab")),
    Case("a pattern that fits nothing", "nothing", index("d", "--include", "*.md"), file("d/a.txt", "x")),
    Case("name too long", "name too long", index("x" * 5000)),
]

MAKING = [
    Case("too few tokens", "at least 8", index("good.txt", "--chunk-tokens", "3")),
    Case("too much overlap", "at most half", index("good.txt", "--chunk-tokens", "20", "--chunk-overlap", "25")),
    Case("language", "No stemmer for the language 'elvish'", index("good.txt", "--language", "elvish")),
    Case("index is a file", "is a file", ["index", "good.txt", "--index", "good.txt"]),
    Case("index folder in use", "holds other files", ["index", "good.txt", "--index", "d"], file("d/letter.txt", "x")),
    Case("another encoder", "--encoder none, not ./m", ["index", "good.txt", "-i", "ix", "--encoder", "./m"], indexed),
    Case(
        "another size",
        "--chunk-tokens None, not 64",
        ["index", "good.txt", "-i", "ix", "--chunk-tokens", "64"],
        indexed,
    ),
    Case("mirror of a part", "do not go together", index("good.txt", "--mirror", "--on-error", "skip")),
    Case("nothing to delete", "Nothing to delete", ["delete", "-i", "ix"], indexed),
    Case("no ids file", "ids.txt", ["delete", "-i", "ix", "--ids-file", "ids.txt"], indexed),
]

VECTORS = [
    Case("kind", "No dense index kind named 'ivf'", vectors("--kind", "ivf")),
    Case("storage", "Did you mean 'float16'", vectors("--storage", "flaot16")),
    Case("recall of nothing", "recall must be above 0", vectors("--recall", "0")),
    Case("recall beyond all", "at most 1", vectors("--recall", "2")),
    Case("recall that is no number", "recall must be", vectors("--recall", "nan")),
    Case("no numbers", "dim must be", vectors("--dim", "0")),
    Case("more numbers than there are", "more than the encoder's 384", vectors("--dim", "10000")),
    Case("kind without vectors", "--kind has no meaning", index("good.txt", "--kind", "pq")),
    Case("dim without vectors", "--dim has no meaning", index("good.txt", "--dim", "64")),
    Case("kind of an index without", "--kind none, not pq", vectors("--kind", "pq", where="ix"), indexed),
    Case("another kind", "compact --kind hnsw", vectors("--kind", "hnsw", where="ix"), with_vectors),
    Case("another storage", "compact --storage int8", vectors("--storage", "int8", where="ix"), with_vectors),
    Case("another recall", "compact --recall 0.9", vectors("--recall", "0.9", where="ix"), with_vectors),
    Case("another dim", "--dim 384, not 64", vectors("--dim", "64", where="ix"), with_vectors),
    Case("compact to no kind", "kind named 'best'", ["compact", "-i", "ix", "--kind", "best"], with_vectors),
    Case("compact to no storage", "storage named 'int4'", ["compact", "-i", "ix", "--storage", "int4"], with_vectors),
    Case("compact to no recall", "recall must be", ["compact", "-i", "ix", "--recall", "-1"], with_vectors),
    Case("compact without vectors", "has no vectors", ["compact", "-i", "ix", "--storage", "int8"], indexed),
]

COMPACTING = [
    Case("no index", "No index at 'ix'", ["compact", "-i", "ix"]),
    Case("index is a file", "is a file", ["compact", "-i", "good.txt"]),
    Case("device", "A device is cpu, cuda", ["search", "a", "-i", "ix", "--device", "gpu"], indexed),
    Case("wait", "--wait takes", ["compact", "-i", "ix", "--wait", "-1"], indexed),
    Case("wait of an index", "--wait takes", index("good.txt", "--wait", "-0.5")),
    Case("wait of a delete", "--wait takes", ["delete", "a", "-i", "ix", "--wait", "nan"], indexed),
    Case(
        "damaged",
        "documents.parquet",
        ["compact", "-i", "ix"],
        damage("segments/*/documents.parquet", flip),
    ),
]

REINDEXING = [
    Case("no index", "No index at 'ix'", ["reindex", "--swap", "-i", "ix"]),
    Case("no encoder", "Give --encoder", ["reindex", "-i", "ix"], indexed),
    Case("two things at once", "Give one of", ["reindex", "--swap", "--drop", "-i", "ix"], indexed),
    Case("swap to an encoder", "or --swap", ["reindex", "--encoder", "a", "--swap", "-i", "ix"], indexed),
    Case("no shadow", "has no shadow", ["reindex", "--swap", "-i", "ix"], indexed),
    Case("nothing to drop", "has no shadow", ["reindex", "--drop", "-i", "ix"], indexed),
    Case("no such encoder", "nowhere", ["reindex", "--encoder", "static=nowhere", "-i", "ix"], indexed),
    Case("no best documents", "-k is 0", ["reindex", "--encoder", "a", "-k", "0", "-i", "ix"], indexed),
    Case("no queries", "q.txt", ["reindex", "--encoder", "a", "--queries", "q.txt", "-i", "ix"], indexed),
]

SNAPSHOTS = [
    Case("no index", "No index at 'ix'", ["snapshot", "s", "-i", "ix"]),
    Case("list of no index", "No index at 'ix'", ["snapshot", "-i", "ix"]),
    Case("empty name", "1 to 64 letters", ["snapshot", "", "-i", "ix"], indexed),
    Case("path for a name", "1 to 64 letters", ["snapshot", "../s", "-i", "ix"], indexed),
    Case("hidden name", "1 to 64 letters", ["snapshot", ".s", "-i", "ix"], indexed),
    Case("name of two words", "1 to 64 letters", ["snapshot", "a b", "-i", "ix"], indexed),
    Case("name of two lines", "1 to 64 letters", ["snapshot", "a\n", "-i", "ix"], indexed),
    Case("long name", "1 to 64 letters", ["snapshot", "s" * 65, "-i", "ix"], indexed),
    Case("name that is taken", "a snapshot 's' already", ["snapshot", "s", "-i", "ix"], done(["snapshot", "s"])),
    Case("drop of none", "this index has none", ["snapshot", "--drop", "s", "-i", "ix"], indexed),
    Case(
        "drop of another",
        "Did you mean 'spring'",
        ["snapshot", "--drop", "sprin", "-i", "ix"],
        done(["snapshot", "spring"]),
    ),
    Case("name and drop", "not both", ["snapshot", "s", "--drop", "t", "-i", "ix"], indexed),
    Case("wait", "--wait takes", ["snapshot", "s", "-i", "ix", "--wait", "-1"], indexed),
    Case(
        "damaged snapshot",
        "s.json",
        ["snapshot", "-i", "ix"],
        lambda folder: [done(["snapshot", "s"])(folder), file("ix/snapshots/s.json", "{")(folder)],
    ),
]

GOING_BACK = [
    Case("no index", "No index at 'ix'", ["rollback", "-i", "ix"]),
    Case("list of no index", "No index at 'ix'", ["rollback", "--list", "-i", "ix"]),
    Case("folder of another program", "No index at 'd'", ["rollback", "-i", "d"], file("d/notes.txt", "x")),
    Case("nothing before", "the only one", ["rollback", "-i", "ix"], done(["delete", "a"], ["compact"])),
    Case("no such generation", "no generation 99; kept are 1, 2", ["rollback", "--to", "99", "-i", "ix"], indexed),
    Case("huge number", "no snapshot '9", ["rollback", "--to", "9" * 5000, "-i", "ix"], indexed),
    Case("number below nothing", "no snapshot '-1'", ["rollback", "--to", "-1", "-i", "ix"], indexed),
    Case("no such snapshot", "no snapshot 's'", ["rollback", "--to", "s", "-i", "ix"], indexed),
    Case("path for a snapshot", "snapshot", ["rollback", "--to", "../ix", "-i", "ix"], done(["snapshot", "s"])),
    Case("to what is live", "is the live one", ["rollback", "--to", "2", "-i", "ix"], indexed),
    Case("list and to", "not both", ["rollback", "--list", "--to", "1", "-i", "ix"], indexed),
    Case("wait", "--wait takes", ["rollback", "-i", "ix", "--wait", "-1"], indexed),
    Case(
        "damaged past",
        "cannot be gone back to",
        ["rollback", "-i", "ix"],
        lambda folder: [
            done(["delete", "a"])(folder),
            [path.write_bytes(flip(path.read_bytes())) for path in folder.glob("ix/segments/*/passages.npy")],
        ],
    ),
]

COPYING = [
    Case("no index", "No index at 'ix'", ["copy", "new", "-i", "ix"]),
    Case("folder in use", "holds other files", ["copy", "d", "-i", "ix"], with_index(file("d/letter.txt", "x"))),
    Case("onto a file", "is a file", ["copy", "good.txt", "-i", "ix"], indexed),
    Case("onto itself", "already holds an index", ["copy", "ix", "-i", "ix"], indexed),
    Case("no such generation", "no generation 7", ["copy", "new", "--of", "7", "-i", "ix"], indexed),
    Case("no such snapshot", "no snapshot 's'", ["copy", "new", "--of", "s", "-i", "ix"], indexed),
    Case("below a file", "good.txt", ["copy", "good.txt/new", "-i", "ix"], indexed),
    Case("damaged", "passages.npy", ["copy", "new", "-i", "ix"], damage("segments/*/passages.npy", flip)),
]

SEARCHING = [
    Case("no index", "No index at 'ix'", search("red")),
    Case("index is a file", "is a file", search("red"), file("ix", "x")),
    Case("no query", "No query", search(), indexed),
    Case("blank query", "query is empty", search(" "), indexed),
    Case("k", "k must be", search("red", "-k", "0"), indexed),
    Case("k of a batch", "k must be", search("--queries", "good.txt", "--run", "r.trec", "-k", "0"), indexed),
    Case("mode", "No search mode named 'fuzzy'", search("red", "--mode", "fuzzy"), indexed),
    Case("no vectors", "--encoder none", search("red", "--mode", "dense"), indexed),
    Case("filter syntax", "year", search("red", "--where", "year >>= 2"), indexed),
    Case("filter cut off", "end", search("red", "--where", "year = 2020 and"), indexed),
    Case("filter injection", "wrong at character 4", search("red", "--where", "1=1; DROP TABLE x"), indexed),
    Case("fusion", "No fusion method named 'sum'", search("red", "--fusion", "sum"), indexed),
    Case("weights", "two numbers", search("red", "--weights", "1"), indexed),
    Case("negative weights", "at least 0", search("red", "--weights=-1,1"), indexed),
    Case("depth", "depth must be", search("red", "--depth", "0"), indexed),
    Case("queries alone", "go together", search("--queries", "q.txt"), indexed),
    Case("no queries file", "q.txt", search("--queries", "q.txt", "--run", "r.trec"), indexed),
    Case(
        "broken queries",
        "q.jsonl:1",
        search("--queries", "q.jsonl", "--run", "r.trec"),
        with_index(file("q.jsonl", "{\n")),
    ),
    Case(
        "an id that no run can hold",
        "'a b' is empty or holds white space",
        search("--queries", "q.jsonl", "--run", "r.trec"),
        with_index(file("q.jsonl", '{"id": "a b", "text": "red"}\n')),
    ),
    Case(
        "run in no folder",
        "no/r.trec",
        search("--queries", "q.txt", "--run", "no/r.trec"),
        with_index(file("q.txt", "red\n")),
    ),
    Case("scorer kind", "No scorer named 'best'", search("red", "--rerank", "best=x"), indexed),
    Case("kind of encoder", "smith goes with --encoder, not", search("red", "--rerank", "smith=x"), indexed),
    Case("scorer folder", "no-such-folder", search("red", "--rerank", "cross=./no-such-folder"), indexed),
    Case("late folder", "no-such-folder", search("red", "--rerank", "late=./no-such-folder"), indexed),
]

DAMAGED = [
    Case(
        "pointer lost",
        "lost its CURRENT",
        search("red"),
        with_index(lambda folder: (folder / "ix" / "CURRENT").unlink()),
    ),
    Case("pointer damaged", "CURRENT", search("red"), damage("CURRENT", lambda data: b"\xffjunk")),
    Case(
        "manifest lost",
        "missing",
        search("red"),
        with_index(lambda folder: (folder / "ix" / "manifest-000002.json").unlink()),
    ),
    Case("manifest changed", "SHA-256", search("red"), damage("manifest-*.json", lambda data: data + b" ")),
    Case(
        "documents one byte short",
        "documents.parquet",
        search("red"),
        damage("segments/*/documents.parquet", lambda data: data[:-1]),
    ),
    Case("passages flipped", "passages.npy", search("red"), damage("segments/*/passages.npy", flip)),
    Case("postings flipped", ".idx", search("red"), damage("lexical/*/*.idx", flip)),
    Case("folder of another program", "No index at", ["info", "-i", "d"], file("d/notes.txt", "x")),
]

EVALUATING = [
    Case("no run", "r.trec", ["eval", "--run", "r.trec", "--qrels", "q.tsv"], file("q.tsv", "q\t0\td\t1\n")),
    Case(
        "broken run",
        "r.trec:1",
        ["eval", "--run", "r.trec", "--qrels", "q.tsv"],
        lambda f: [file("r.trec", "a b\n")(f), file("q.tsv", "q 0 d 1\n")(f)],
    ),
    Case(
        "metric",
        "No metric named",
        ["eval", "--run", "r.trec", "--qrels", "q.tsv", "--metric", "beauty@3"],
        lambda f: [file("r.trec", "q Q0 d 1 1.0 x\n")(f), file("q.tsv", "q 0 d 1\n")(f)],
    ),
    Case("nothing", "Nothing to evaluate", ["eval"]),
    Case("task", "Did you mean 'sts'", ["eval", "--pairs", "p.tsv", "--task", "sst"]),
    Case("no qrels", "No judgements", ["eval", "--run", "r.trec"], file("r.trec", "q Q0 d 1 1.0 x\n")),
    Case("no folder", "no-such-folder", ["eval", "--data", "no-such-folder"]),
    Case("empty folder", "No judgements 'test'", ["eval", "--data", "d"], lambda folder: (folder / "d").mkdir()),
    Case("split", "Splits there: dev", ["eval", "--data", "d"], file("d/qrels/dev.tsv", "q\td\t1\n")),
    Case("mode", "No search mode named 'fuzzy'", ["eval", "--data", "d", "--mode", "fuzzy"], beir),
    Case("k", "k must be", ["eval", "--data", "d", "-k", "0", "--mode", "lexical"], beir),
    Case("rerank depth", "rerank_depth must be", ["eval", "--data", "d", "--rerank-depth", "0"], beir),
    Case("scorer", "No scorer named 'best'", ["eval", "--data", "d", "--rerank", "best=x"], beir),
    Case(
        "corpus lost", "No corpus.jsonl", ["eval", "--data", "d"], lambda f: [beir(f), (f / "d/corpus.jsonl").unlink()]
    ),
    Case(
        "broken corpus",
        "corpus.jsonl:1",
        ["eval", "--data", "d", "--mode", "lexical"],
        lambda f: [beir(f), file("d/corpus.jsonl", "{\n")(f)],
    ),
    Case(
        "queries of other data",
        "No query is judged",
        ["eval", "--data", "d"],
        lambda f: [beir(f), file("d/qrels/test.tsv", "x\td\t1\n")(f)],
    ),
    Case("another index", "lacks 1 of the 1 documents", ["eval", "--data", "d", "-i", "ix"], with_index(beir)),
    Case(
        "run in no folder",
        "no/r.trec",
        ["eval", "--data", "d", "--mode", "lexical", "--save-run", "no/r.trec"],
        beir,
    ),
    Case("pairs of no kind", "no two columns of texts", ["eval", "--pairs", "p.tsv"], file("p.tsv", "a\tb\nx\ty\n")),
    Case("pairs of a document", "no table", ["eval", "--pairs", "good.txt"]),
    Case(
        "score that is none",
        "p.tsv:2",
        ["eval", "--pairs", "p.tsv"],
        file("p.tsv", "text1\ttext2\tscore\nx\ty\tmuch\n"),
    ),
    Case(
        "one class",
        "both classes are needed",
        ["eval", "--pairs", "p.tsv"],
        file("p.tsv", "text1\ttext2\tlabel\nx\ty\t1\nz\tw\t1\n"),
    ),
    Case(
        "similarity",
        "No similarity named 'angle'",
        ["eval", "--pairs", "p.tsv", "--similarity", "angle"],
        file("p.tsv", "text1\ttext2\tlabel\nx\ty\t1\nz\tw\t0\n"),
    ),
    Case(
        "candidates without a label",
        "no label",
        ["eval", "--candidates", "c.jsonl"],
        file("c.jsonl", rows({"query": "q", "candidates": ["a", "b"]})),
    ),
    Case(
        "right one beyond the list",
        "counted from 0",
        ["eval", "--candidates", "c.jsonl"],
        file("c.jsonl", rows({"query": "q", "candidates": ["a", "b"], "label": 2})),
    ),
    Case(
        "evidence without an index",
        "No index to search",
        ["eval", "--evidence", "e.jsonl"],
        file("e.jsonl", rows({"query": "q", "evidence_list": [{"fact": "f"}]})),
    ),
    Case("vectors that are none", "no .npy file", ["eval", "--images", "good.txt", "--captions", "good.txt"]),
]


def two_runs(change: Callable[[Path], object] = lambda folder: None) -> Callable[[Path], object]:
    """Judgements of two queries in q, and two runs of them in a.trec and b.trec."""

    def prepare(folder: Path) -> None:
        file("q", "1 0 d 1\n2 0 d 1\n")(folder)
        for name, document in (("a.trec", "d"), ("b.trec", "e")):
            file(name, f"1 Q0 {document} 1 1.0 x\n2 Q0 d 1 1.0 x\n")(folder)
        change(folder)

    return prepare


def compare(*more: str) -> list[str]:
    return ["compare", "--qrels", "q", "--run", "a.trec", "--run", "b.trec", *more]


COMPARING = [
    Case("nothing", "two systems or more", ["compare"]),
    Case("one run", "two systems or more", ["compare", "--qrels", "q", "--run", "a.trec"], two_runs()),
    Case("no qrels", "go together", ["compare", "--run", "a.trec", "--run", "b.trec"], two_runs()),
    Case("missing run", "c.trec", compare("--run", "c.trec"), two_runs()),
    Case("missing qrels", "No qrels file 'q'", compare(), two_runs(lambda folder: (folder / "q").unlink())),
    Case("one query", "1 query", compare(), two_runs(file("q", "1 0 d 1\n"))),
    Case("metric", "Did you mean 'ndcg'", compare("--metric", "ndgc@10"), two_runs()),
    Case("baseline", "Did you mean 'a'", compare("--baseline", "aa"), two_runs()),
    Case("test", "No test named 'wilcoxon'", compare("--test", "wilcoxon"), two_runs()),
    Case("interval", "No interval named", compare("--interval", "wald"), two_runs()),
    Case("alpha", "alpha must lie between", compare("--alpha", "5"), two_runs()),
    Case("samples", "samples must be from", compare("--samples", "0"), two_runs()),
    Case("huge samples", "samples must be from", compare("--samples", "9" * 18), two_runs()),
    Case("seed", "seed must be at least 0", compare("--seed", "-1"), two_runs()),
    Case("top", "--top takes", compare("--top", "-1"), two_runs()),
    Case("margin alone", "with --fail-if-worse", compare("--margin", "0.1"), two_runs()),
    Case("negative margin", "at least 0", compare("--fail-if-worse", "--margin", "-0.1"), two_runs()),
    Case("no number for a margin", "at least 0", compare("--fail-if-worse", "--margin", "nan"), two_runs()),
    Case("plot of another kind", "ends with .png", compare("--plot", "p.svg"), two_runs()),
    Case("plot in no folder", "cannot be written", compare("--plot", "no/p.png"), two_runs()),
    Case("missing texts", "t.jsonl", compare("--queries", "t.jsonl"), two_runs()),
    Case(
        "texts of others",
        "none of the queries",
        compare("--queries", "t.tsv"),
        two_runs(file("t.tsv", "9\twhat?\n")),
    ),
    Case("missing values", "No values file 'v.json'", compare("--values", "v.json", "-m", "mrr"), two_runs()),
    Case("broken values", "is not JSON", compare("--values", "v.json"), two_runs(file("v.json", "{"))),
    Case("values of bytes", "is not JSON", compare("--values", "v.json"), two_runs(file("v.json", b"\xff\xfe\x00"))),
    Case(
        "values without the metric",
        "No metric in the values of 'v'",
        compare("--values", "v.json"),
        two_runs(file("v.json", '{"mrr": {"1": 1, "2": 1}}')),
    ),
    Case(
        "values of other queries",
        "not over the same queries",
        compare("--values", "v.json", "-m", "mrr"),
        two_runs(file("v.json", '{"mrr": {"1": 1, "3": 1}}')),
    ),
    Case(
        "values that are no numbers",
        "finite number",
        compare("--values", "v.json", "-m", "mrr"),
        two_runs(file("v.json", '{"mrr": {"1": 1, "2": Infinity}}')),
    ),
]


GOOD = "A good text."
encoded = once({"good.txt": GOOD}, ("encode", "good.txt", "--out", "v"))


def vectors_in_v(change: Callable[[Path], object] = lambda folder: None) -> Callable[[Path], object]:
    """A folder of vectors in v, made from good.txt."""

    def prepare(folder: Path) -> None:
        encoded(folder)
        change(folder)

    return prepare


def encode(*more: str, source: str = "good.txt", out: str = "v") -> list[str]:
    return ["encode", source, "--out", out, *more]


ENCODING = [
    Case("nowhere", "--out FOLDER", ["encode", "good.txt"]),
    Case("nothing", "Nothing to encode", ["encode", "--out", "v"]),
    Case("missing file", "Did you mean 'good.txt'", encode(source="goood.txt")),
    Case("blank line file", "no records", encode("--lines", source="e.txt"), file("e.txt", "\n\n")),
    Case("other kind of file", ".csv cannot be written", encode(out="v.csv")),
    Case("file in no folder", "no folder 'no'", encode(out="no/v.npy")),
    Case("file that is a folder", "is a folder", encode(out="d.npy"), lambda folder: (folder / "d.npy").mkdir()),
    Case("folder that is a file", "is a file", encode(out="f"), file("f", "x")),
    Case("somebody else's folder", "notes.txt", encode(), file("v/notes.txt", "x")),
    Case("into its own source", "lies in the source", encode(source="d", out="d/v"), file("d/x.txt", "x")),
    Case("where nobody writes", "/proc", encode(out="/proc/v")),
    Case("encoder", "No encoder named 'hash'", encode("--encoder", "hash=x")),
    Case("side", "No side named 'passages'", encode("--as", "passages")),
    Case("dtype", "No dtype named 'float64'", encode("--dtype", "float64")),
    Case("dim", "dim is 0", encode("--dim", "0")),
    Case("dim too large", "more than the encoder's 384", encode("--dim", "385")),
    Case("shard size", "shard_texts is 0", encode("--shard-texts", "0")),
    Case("lines and format", "--lines and --format csv", encode("--lines", "--format", "csv")),
    Case("shards of a folder", "--shards goes with a file", encode("--shards", "s")),
    Case(
        "column",
        "no text field 'body'",
        encode("--text-field", "body", source="t.jsonl"),
        file("t.jsonl", rows({"text": "x"})),
    ),
    Case("other vectors", "dtype float32, not float16", encode("--dtype", "float16"), vectors_in_v()),
    Case("other side", "side documents, not queries", encode("--as", "queries"), vectors_in_v()),
    Case("manifest damaged", "no manifest of vectors", encode(), vectors_in_v(file("v/manifest.json", "{"))),
    Case(
        "NaN",
        "'good.txt' holds NaN",
        encode("--encoder", "nan:Encoder=x"),
        file(
            "nan.py",
            "import numpy\nfrom retr.retrieval.embeddings import Vectors\n"
            "class Encoder:\n    dim, similarity, fingerprint = 2, 'dot', 'f'\n    def __init__(self, source): pass\n"
            "    def encode_documents(self, texts):\n"
            "        return Vectors(numpy.full((len(texts), 2), numpy.nan, numpy.float32))\n"
            "    encode_queries = encode_documents\n",
        ),
    ),
]


def both(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        for step in steps:
            step(folder)

    return prepare


NO_EXPORT = [
    Case("precision", "No precision named 'int9'. Did you mean 'int8'?", ["export", "m", "out", "--precision", "int9"]),
    Case("bound", "worst_cosine is 2", ["export", "m", "out", "--worst-cosine", "2"]),
    Case("source", "There is no model folder 'm'", ["export", "m", "out"]),
    Case("kind", "No kind of model to export named 'by'", ["export", "by=m", "out"]),
    Case("int8 already", "in int8 alone", ["export", "all-MiniLM-L6-v2", "out"]),
    Case("no uni", "m is no uni scorer", ["export", "uni=m", "out"], file("m/config.json", "{}")),
    Case("no poly", "m is no poly scorer", ["export", "poly=m", "out"], file("m/retr.json", '{"uni": {}}')),
    Case("other kind", "holds a 'dse' model", ["export", "m", "out"], file("m/retr.json", '{"dse": {"kind": "dse"}}')),
    Case("empty", "no config.json", ["export", "m", "out"], lambda folder: (folder / "m").mkdir()),
    Case("weights", "neither tokenizer.json", ["export", "m", "out"], file("m/config.json", "{}")),
    Case(
        "full", "out is not empty; it holds a.txt", ["export", "m", "out"], both(file("m/x", ""), file("out/a.txt", ""))
    ),
    Case("a file", "out is a file", ["export", "m", "out"], both(file("m/x", ""), file("out", ""))),
    Case("no place", "There is no folder nowhere", ["export", "m", "nowhere/out"], file("m/x", "")),
    Case("inside", "lie in each other", ["export", "m", "m/out"], file("m/x", "")),
]
"""`retr export`"""


def recipe(more: str, method: str = "static") -> Callable[[Path], object]:
    head = f'method = "{method}"\nteacher = "all-MiniLM-L6-v2"\nout = "student"\n'
    return file("r.toml", head + more)


DISTILLING = [
    Case("no recipe", "r.toml", ["distill", "r.toml"]),
    Case("folder for a recipe", "is a folder", ["distill", "."]),
    Case("no TOML", "not TOML", ["distill", "r.toml"], file("r.toml", "method = static")),
    Case("no method", "method is missing", ["distill", "r.toml"], file("r.toml", "")),
    Case("unknown method", "Did you mean 'static'", ["distill", "r.toml"], recipe("", method="statics")),
    Case("module for a method", "is no method", ["distill", "r.toml"], recipe("", method="json:loads")),
    Case("unknown key", "Did you mean 'corpus'", ["distill", "r.toml"], recipe('corpsu = "good.txt"')),
    Case("unknown setting", "Did you mean 'dim'", ["distill", "r.toml"], recipe("[static]\ndims = 3")),
    Case(
        "setting of another type", "dim: expected a whole number", ["distill", "r.toml"], recipe('[static]\ndim = "a"')
    ),
    Case("setting without meaning", "sif is -1", ["distill", "r.toml"], recipe("[static]\nsif = -1")),
    Case("unknown storage", "'float16'", ["distill", "r.toml"], recipe('[static]\nstorage = "int3"')),
    Case("seed", "seed is -2", ["distill", "r.toml", "--seed", "-2"], recipe("")),
    Case("no corpus there", "nowhere.txt", ["distill", "r.toml"], recipe('corpus = "nowhere.txt"')),
    Case(
        "small corpus", "Give more text", ["distill", "r.toml"], recipe('corpus = "good.txt"\n[static]\nheld_out = 20')
    ),
    Case("no model", "model is missing", ["distill", "r.toml"], recipe("", method="margin-mse")),
    Case("no rows", "data is missing", ["distill", "r.toml"], recipe('model = "."', method="listwise-kl")),
    Case(
        "student of no kind",
        "kind of student named 'tri'",
        ["distill", "r.toml"],
        recipe('model = "."\nkind = "tri"\n[data]\nfiles = "x.jsonl"', method="embedding-mse"),
    ),
    Case("task of no kind", "task is regression", ["distill", "r.toml"], recipe('[dse]\ntask = "x"', method="dse")),
    Case("weight above 1", "weight is 1.5", ["distill", "r.toml"], recipe("[dse]\nweight = 1.5", method="dse")),
    Case("out is there", "exists already", ["distill", "r.toml", "--out", "good.txt"], recipe("")),
    Case("out in no folder", "no folder 'no'", ["distill", "r.toml", "--out", "no/student"], recipe("")),
    Case(
        "no teacher",
        "nobody",
        ["distill", "r.toml"],
        file("r.toml", 'method = "static"\nteacher = "./nobody"\nout = "o"'),
    ),
    Case("dim beyond the teacher's", "have 384 numbers", ["distill", "r.toml"], recipe("[static]\ndim = 385")),
]


def mine(*more: str, out: str = "n.jsonl") -> list[str]:
    return ["mine", "-i", "ix", "--queries", "q.txt", "--qrels", "q.tsv", "--out", out, *more]


def judged(folder: Path) -> None:
    """The small lexical index, one question and its judgement."""
    both(indexed, file("q.txt", "red\n"), file("q.tsv", "1\ta\t1\n"))(folder)


MINING = [
    Case("no queries", "q.txt", mine()),
    Case("no index", "ix", mine(), both(file("q.txt", "red\n"), file("q.tsv", "1\ta\t1\n"))),
    Case("queries of others", "None of the 1 queries is judged", mine(), both(judged, file("q.tsv", "2\ta\t1\n"))),
    Case("no JSON lines", "ends with .jsonl", mine(out="n.csv")),
    Case("out in no folder", "no folder 'no'", mine(out="no/n.jsonl")),
    Case("out beside a folder", "is a folder", mine(), lambda folder: (folder / "n.json").mkdir()),
    Case("mode", "Did you mean 'dense'", mine("--mode", "dens")),
    Case("sample", "Did you mean 'top'", mine("--sample", "tops")),
    Case("nothing left", "Look deeper", mine("--depth", "5", "--skip-top", "5")),
    Case("depth", "k must be", mine("--depth", "0")),
    Case("no negatives", "negatives is 0", mine("--negatives", "0")),
    Case("seed", "seed is -1", mine("--seed", "-1")),
    Case("margin", "a number, or auto", mine("--margin", "wide")),
    Case("no number for a margin", "finite", mine("--margin", "nan")),
    Case("share", "a share from 0", mine("--relative-margin", "5")),
    Case("no share of false negatives", "between 0 and 1", mine("--false-negatives", "0")),
    Case("margin without scores", "no scorer", mine("--margin", "auto"), judged),
    Case("plot without scores", "there is no scorer", mine("--plot", "p.png"), judged),
    Case("plot of another kind", "ends with .png", mine("--plot", "p.svg"), judged),
    Case("scorer without a kind", "cross=FOLDER", mine("--scorer", "m"), judged),
    Case("kind of scorer", "No scorer named 'crss'", mine("--scorer", "crss=m"), judged),
    Case("scorer not there", "'nobody'", mine("--scorer", "cross=nobody"), judged),
    Case("index that scores nothing", "no encoder to score with", mine("--scorer", "index"), judged),
    Case("dense without vectors", "no vectors", mine("--mode", "dense"), judged),
    Case(
        "auto from too little",
        "at least 30 candidates; there are 1",
        mine("--margin", "auto"),
        both(with_vectors, file("q.txt", "red\n"), file("q.tsv", "1\ta\t1\n")),
    ),
]
"""`retr mine`"""


def pairs(*more: str, source: str = "d.jsonl", out: str = "p.jsonl") -> list[str]:
    return ["pairs", source, "--out", out, *more]


short = file("d.jsonl", rows({"id": "a", "text": "One short sentence."}))

PAIRS = [
    Case("no source", "Nothing to make pairs of", ["pairs", "--out", "p.jsonl"]),
    Case("no out", "--out FILE.jsonl", ["pairs", "d.jsonl"], short),
    Case("source not there", "No file or folder 'd.jsonl'", pairs()),
    Case("no JSON lines", "ends with .jsonl", pairs(out="p.csv"), short),
    Case("out in no folder", "no folder 'no'", pairs(out="no/p.jsonl"), short),
    Case("out beside a folder", "is a folder", pairs(), lambda folder: (folder / "p.json").mkdir()),
    Case("out in the source", "lies in the source", pairs(source=".")),
    Case("method", "Did you mean 'ict'", pairs("--method", "itc"), short),
    Case("seed", "seed is -1", pairs("--seed", "-1"), short),
    Case("no rows", "rows is 0", pairs("--rows", "0"), short),
    Case("share", "a share from 0 to 1", pairs("--keep-prob", "5"), short),
    Case("sentences of no length", "max_words is 2", pairs("--max-words", "2"), short),
    Case("passages too short", "twice min_words", pairs("--passage-words", "5"), short),
    Case("language", "a code such as en", pairs("--language", "../en"), short),
    Case("links that are not read", "ict reads no links", pairs("--links-field", "see"), short),
    Case("bad row", "d.jsonl:1", pairs(), file("d.jsonl", "{]\n")),
    Case("on error", "on_error is 'stop'", pairs("--on-error", "stop"), short),
]
"""`retr pairs`"""


def adapt(*more: str, out: str = "new") -> list[str]:
    return ["adapt", "--out", out, *more]


ADAPTED = [
    Case("no out", "--out DIR", ["adapt", "--corpus", "d.jsonl"], short),
    Case("no documents", "Give --corpus DOCUMENTS, or --index DIR", adapt()),
    Case("corpus not there", "No file or folder 'd.jsonl'", adapt("--corpus", "d.jsonl")),
    Case("index not there", "ix", adapt("--index", "ix")),
    Case("index without vectors", "no encoder to begin with", adapt("--index", "ix"), with_index()),
    Case("reindex without an index", "Give --index DIR", adapt("--corpus", "d.jsonl", "--reindex"), short),
    Case("standard input", "not standard input", adapt("--corpus", "-")),
    Case("out in the corpus", "lies in the source", adapt("--corpus", ".")),
    Case("method", "Did you mean 'infonce'", adapt("--corpus", "d.jsonl", "--method", "infnce"), short),
    Case("no teacher for it", "needs a teacher", adapt("--corpus", "d.jsonl", "--method", "margin-mse"), short),
    Case("questioner", "Did you mean 'title'", adapt("--corpus", "d.jsonl", "--questioner", "titel"), short),
    Case("cycles of none", "Set method trans-encoder", adapt("--corpus", "d.jsonl", "--cycles", "2"), short),
    Case("no steps", "steps is 0", adapt("--corpus", "d.jsonl", "--steps", "0"), short),
    Case("no text", "max_tokens is 1", adapt("--corpus", "d.jsonl", "--max-tokens", "1"), short),
    Case("negatives of nothing", "depth is 2", adapt("--corpus", "d.jsonl", "--depth", "2"), short),
    Case("rate", "a number above 0", adapt("--corpus", "d.jsonl", "--learning-rate", "nan"), short),
    Case("level", "between 0 and 1", adapt("--corpus", "d.jsonl", "--alpha", "5"), short),
    Case("metric", "Did you mean 'ndcg'", adapt("--corpus", "d.jsonl", "--metric", "ndcq@10"), short),
    Case("precision", "Did you mean 'float16'", adapt("--corpus", "d.jsonl", "--precision", "float6"), short),
    Case("wait", "at least 0", adapt("--corpus", "d.jsonl", "--wait", "-1"), short),
    Case(
        "qrels alone",
        "no queries",
        adapt("--corpus", "d.jsonl", "--qrels", "q.tsv"),
        both(short, file("q.tsv", "1\ta\t1\n")),
    ),
    Case(
        "queries of no teacher",
        "there is none",
        adapt("--corpus", "d.jsonl", "--queries", "q.txt"),
        both(short, file("q.txt", "red\n")),
    ),
    Case("kind of encoder", "is of the kind static", adapt("--corpus", "d.jsonl", "--encoder", "static=m"), short),
    Case("encoder not there", "no model folder 'm'", adapt("--corpus", "d.jsonl", "--encoder", "m"), short),
    Case("another thing there", "exists already", adapt("--corpus", "d.jsonl"), both(short, file("new/x", "x"))),
]
"""`retr adapt`"""


def training(more: str = "", data: str = 'files = "t.jsonl"', objective: str = 'name = "infonce"') -> str:
    """A recipe, with a folder that is no model: what is wrong here is said before it is opened."""
    return f'{more}\nmodel = "."\nout = "new"\n[data]\n{data}\n[objective]\n{objective}\n'


POINTWISE = '[student]\nhead = "pointwise"\naggregate = "wins"\n'
OF_ROWS = '[validation]\nrun = "run.txt"\nrows = { files = "t.jsonl" }\nmetric = "mrr@10"\n'


def of_kind(kind: str, tables: str) -> str:
    return training(f'kind = "{kind}"') + tables


def train(content: str) -> Callable[[Path], object]:
    return file("r.toml", content)


TRAINING = [
    Case("no recipe", "r.toml", ["train", "r.toml"]),
    Case("no TOML", "not TOML", ["train", "r.toml"], train("model = x")),
    Case("no data", "data is missing", ["train", "r.toml"], train('model = "."\nout = "o"\n[objective]\nname = "x"\n')),
    Case("no files", "files is missing", ["train", "r.toml"], train(training(data=""))),
    Case("unknown setting", "'steps'", ["train", "r.toml"], train(training() + "[train]\nstep = 3\n")),
    Case("rate", "learning_rate is 0.0", ["train", "r.toml"], train(training() + "[train]\nlearning_rate = 0\n")),
    Case("kind", "Known: bi", ["train", "r.toml"], train(training('kind = "bee"'))),
    Case("no model", "no folder", ["train", "r.toml"], train(training().replace('"."', '"nowhere"'))),
    Case("objective", "Did you mean 'infonce'", ["train", "r.toml"], train(training(objective='name = "infonse"'))),
    Case("no objective", "name is missing", ["train", "r.toml"], train(training(objective=""))),
    Case("validation", "exactly one", ["train", "r.toml"], train(training() + "[validation]\n")),
    Case("no model in the folder", "config.json", ["train", "r.toml"], train(training())),
    Case("seed", "seed is -1", ["train", "r.toml", "--seed", "-1"], train(training())),
    Case("setting of a cross", "'head'", ["train", "r.toml"], train(of_kind("cross", "[student]\nheads = 'x'"))),
    Case("pairwise", "of a pairwise head", ["train", "r.toml"], train(of_kind("cross", POINTWISE))),
    Case("mask of a uni", "mask: expected one of", ["train", "r.toml"], train(of_kind("uni", "[student]\nmask = 'x'"))),
    Case("codes of a poly", "codes is 0", ["train", "r.toml"], train(of_kind("poly", "[student]\ncodes = 0"))),
    Case("dropout", "dropout is 1.5", ["train", "r.toml"], train(of_kind("uni", "[backbone]\ndropout = 1.5"))),
    Case(
        "in batch", "in_batch needs", ["train", "r.toml"], train(training(objective='name="listwise"\nin_batch=true'))
    ),
    Case("a run of rows", "needs beir", ["train", "r.toml"], train(training() + OF_ROWS)),
]
"""`retr train`"""

CASES = [
    (group, case)
    for group, cases in globals().copy().items()
    if group.isupper() and isinstance(cases, list)
    for case in cases
]


def expect_one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert len(errors) == 1 and errors[0] == done.stderr.splitlines()[-1], done.stderr
    assert says.lower() in errors[0].lower()
    assert len(errors[0]) < 1200


@pytest.mark.parametrize(("group", "case"), CASES, ids=[f"{group.lower()}-{case.name}" for group, case in CASES])
def test_one_clear_line(group: str, case: Case, tmp_path: Path) -> None:
    file("good.txt", GOOD)(tmp_path)
    case.prepare(tmp_path)
    expect_one_line(retr(tmp_path, *case.command), case.says)
    if group == "READING":
        assert not (tmp_path / "new").exists() or retr(tmp_path, "check", "-i", "new").returncode == 0


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 150


def test_an_unreadable_file_and_folder(tmp_path: Path) -> None:
    file("d/secret.txt", "x")(tmp_path)
    (tmp_path / "d" / "secret.txt").chmod(0)
    expect_one_line(_without_privilege(tmp_path, "index", "d", "-i", "new", "--encoder", "none"), "secret.txt")
    (tmp_path / "locked").mkdir(0o000)
    expect_one_line(_without_privilege(tmp_path, "index", "locked", "-i", "new", "--encoder", "none"), "locked")
    (tmp_path / "locked").chmod(0o700)


def _without_privilege(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """As a user whom permissions bind: root is, once it has lost two capabilities."""
    lead = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("run as root without setpriv: permissions bind nobody here")
        powers = "-dac_override,-dac_read_search"
        lead = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]
    environment = {**ENVIRONMENT, "RETR_CACHE_DIR": str(folder / "cache")}
    line = [*lead, sys.executable, "-m", "retr", *command]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def on_a_small_disk(folder: Path, kilobytes: int, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script, in which $0 is Python, where `disk` is a file system of that size."""
    (folder / "disk").mkdir()
    environment = {**ENVIRONMENT, "RETR_CACHE_DIR": str(folder / "cache")}
    lead = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*lead, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here: a full disk cannot be made")
    line = [*lead, "sh", "-c", f"mount -t tmpfs -o size={kilobytes}k none disk && {script}", sys.executable]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_a_full_disk(tmp_path: Path) -> None:
    records = [{"id": str(n), "text": f"text {n} " + os.urandom(300).hex()} for n in range(2000)]
    file("many.jsonl", rows(*records))(tmp_path)
    done = on_a_small_disk(tmp_path, 600, '"$0" -m retr index many.jsonl -i disk/ix --encoder none')
    expect_one_line(done, "No space left on device")


@pytest.mark.parametrize("command", ["compact", "copy disk/copy"])
def test_a_full_disk_under_compaction_and_copy_leaves_the_index_as_it_was(command: str, tmp_path: Path) -> None:
    records = [{"id": str(n), "text": f"text {n} " + os.urandom(300).hex()} for n in range(200)]
    file("many.jsonl", rows(*records))(tmp_path)
    assert retr(tmp_path, "index", "many.jsonl", "-i", "ix", "--encoder", "none").returncode == 0
    assert retr(tmp_path, "delete", "7", "-i", "ix").returncode == 0
    fill = "cp -r ix disk/ix && { cat /dev/zero > disk/fill 2> /dev/null; truncate -s -40K disk/fill; }"
    script = f'{fill} && {{ "$0" -m retr {command} -i disk/ix; code=$?; "$0" -m retr check -i disk/ix; exit $code; }}'
    done = on_a_small_disk(tmp_path, 4000, script)
    expect_one_line(done, "No space left on device")
    assert "ok       199 documents" in done.stdout and "damaged" not in done.stdout


def test_a_full_disk_under_the_run_file(tmp_path: Path) -> None:
    indexed(tmp_path)
    file("q.txt", "red\n")(tmp_path)
    done = retr(tmp_path, "search", "-i", "ix", "--queries", "q.txt", "--run", "/dev/full")
    expect_one_line(done, "No space left on device")


def test_skipping_keeps_the_good_and_names_the_bad(tmp_path: Path) -> None:
    good = [{"id": str(n), "text": f"text {n}"} for n in range(5)]
    file("t.jsonl", rows(good[0], "{\n", good[1], {"id": "x"}, good[2], {"id": "0", "text": "again"}, *good[3:]))(
        tmp_path
    )
    done = retr(tmp_path, "index", "t.jsonl", "-i", "ix", "--encoder", "none", "--on-error", "skip", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["documents"], said["added"], said["skipped"]) == (5, 5, 3)
    assert [problem for problem in said["problems"] if "t.jsonl:2" in problem]
    assert [problem for problem in said["problems"] if "t.jsonl:4" in problem]
    assert [problem for problem in said["problems"] if "'0' comes twice" in problem]
