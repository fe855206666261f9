"""Lists of candidates: does the model put the right ones first."""

from typing import TYPE_CHECKING

from retr.cli.evaluating.asked import Asked
from retr.cli.evaluating.models import model_of, name_of
from retr.cli.evaluating.showing import Result, result_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retr.retrieval.evaluation.reading.candidates import CandidateList


def results(asked: Asked) -> list[Result]:
    """One model's figures over all lists."""
    from retr.cli.output import warn
    from retr.retrieval.evaluation.reading.candidates import read_candidates
    from retr.retrieval.evaluation.selection import evaluate_selection

    assert asked.candidates is not None
    lists = read_candidates(asked.candidates)
    scores = _scores(asked, lists)
    evaluation = evaluate_selection(
        {each.id: one for each, one in zip(lists, scores, strict=True)},
        {each.id: each.grades for each in lists},
        asked.metric,
    )
    if evaluation.unjudged:
        warn(f"Lists with nothing right or nothing wrong are left out: {len(evaluation.unjudged)} of {len(lists)}.")
    counts = {"lists": evaluation.queries, "left_out": len(evaluation.unjudged)}
    return [result_of(name_of(asked), evaluation, counts, {"task": "selection"})]


def _scores(asked: Asked, lists: "list[CandidateList]") -> "list[NDArray[np.float64]]":
    from retr.cli.progress import Progress
    from retr.retrieval.evaluation.matching import candidate_scores, scorer_candidate_scores

    encoder, scorer, similarity = model_of(asked)
    queries, candidates = [each.query for each in lists], [each.candidates for each in lists]
    if scorer is not None:
        total = sum(map(len, candidates))
        with Progress("scored", total=total, unit="candidates", quiet=asked.quiet) as progress:
            return scorer_candidate_scores(scorer, queries, candidates, watch=progress.advance)
    assert encoder is not None
    total = len(set(queries)) + len({text for texts in candidates for text in texts})
    with Progress("encoded", total=total, unit="texts", quiet=asked.quiet) as progress:
        return candidate_scores(encoder, queries, candidates, similarity=similarity, watch=progress.advance)
