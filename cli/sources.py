"""What commands that read documents and write files check of the two."""

from pathlib import Path


def checked_sources(sources: list[str] | None, verb: str, *places: Path) -> list[str]:
    """The sources; what is written must not lie among them, or the next run would read it."""
    from retr.retrieval.errors import BadInput

    if not sources:
        raise BadInput(f"Nothing to {verb}. Name files or folders, or - for standard input.")
    for folder in (Path(source) for source in sources if source != "-" and Path(source).is_dir()):
        for place in places:
            if place.resolve().is_relative_to(folder.resolve()):
                raise BadInput(f"{str(place)!r} lies in the source {str(folder)!r}. Write to a place outside of it.")
    return sources
