"""`python -m retr` is `retr`."""

from retr.cli import main

main()
