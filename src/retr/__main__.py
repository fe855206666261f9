"""`python -m retr` is `retr`."""

from retr.cli import run

run()
