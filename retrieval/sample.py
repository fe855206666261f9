"""The sample corpus that the package ships: 402 health answers with questions and judgements, as a BEIR folder."""

from pathlib import Path


def sample_folder() -> Path:
    """The folder with corpus.jsonl.gz, queries.jsonl, qrels/test.tsv and a README on source and licence."""
    return Path(__file__).parent / "sample"
