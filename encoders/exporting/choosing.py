"""Which parts of an int8 network stay in float: the fewest that bring it near enough, the most harmful first."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from retr.encoders.exporting.making import Maker
from retr.encoders.exporting.padded import open_padded
from retr.encoders.exporting.settings import Bounds
from retr.encoders.exporting.subject import Subject
from retr.encoders.exporting.texts import choosing_half
from retr.retrieval.embeddings import Floats

MARGIN = 0.2
"""The choice leaves this share of the allowed error unused, for texts that took no part in it."""

Measure = Callable[[Collection[str]], dict[str, float]]


def choose_kept(
    subject: Subject, maker: Maker, bounds: Bounds, workspace: Path, report: Callable[[str], None]
) -> tuple[str, ...]:
    """The units to keep in float. Nothing is measured one by one when all of them may be int8.

    Otherwise each unit is quantised alone, and the unit with the greatest loss is kept, then the next, until half of
    the texts are within bounds by a margin; the gate looks at all texts.
    """
    exact = subject.outputs()
    rows = choosing_half(len(exact))

    def measure(kept: Collection[str], *, quick: bool = False) -> dict[str, float]:
        outputs = _outputs(subject, maker, kept, workspace, quick=quick)
        return _worst(subject, [found[rows] for found in outputs], exact[rows])

    wanted, units = _tightened(bounds), maker.units()
    if not wanted.broken(measure(())):
        return ()
    losses = {}
    for unit in units:
        losses[unit] = subject.loss(measure([other for other in units if other != unit], quick=True))
        report(f"{unit} alone in int8 loses {losses[unit]:.6f}")
    order = sorted(units, key=lambda unit: -losses[unit])
    for count in range(1, len(order)):
        kept = order[:count]
        if not wanted.broken(measure(kept)):
            return tuple(sorted(kept))
    return tuple(sorted(order))


def _outputs(subject: Subject, maker: Maker, kept: Collection[str], workspace: Path, *, quick: bool) -> list[Floats]:
    """Of the network that retr makes of the file, if it does; and, unless that is enough, of the file as it is."""
    fast = maker.fast(kept)
    found = [] if fast is None else [subject.outputs(fast)]
    if found and quick:
        return found
    path = workspace / "candidate.onnx"
    files = maker.write(path, "int8", kept)
    network = open_padded(path, classifier=subject.classifier, max_tokens=subject.max_tokens, padding=0)
    found.append(subject.outputs(network, whole=True))
    for file in files:
        file.unlink()
    return found


def _worst(subject: Subject, found: list[Floats], exact: Floats) -> dict[str, float]:
    return max((subject.compare(one, exact) for one in found), key=subject.loss)


def _tightened(bounds: Bounds) -> Bounds:
    """The bounds of the figures that the choice is made by, with the margin taken off."""
    return replace(
        bounds,
        mean_cosine=1 - (1 - bounds.mean_cosine) * (1 - MARGIN),
        worst_cosine=1 - (1 - bounds.worst_cosine) * (1 - MARGIN),
        score_error=bounds.score_error * (1 - MARGIN),
    )
