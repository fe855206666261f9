"""The benches of late interaction: queries that one passage alone holds, molecules as tokens, and places."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield


def test_a_query_is_of_its_passage_and_of_no_other() -> None:
    from training_late_data import KINDS, _queries

    drawn = random.Random(0)
    words = [f"w{number}" for number in range(60)]
    passages = [" ".join(drawn.choices(words, k=45)) for _ in range(40)]
    passages += [passages[0], passages[0] + " more"]
    queries = list(_queries(passages, drawn))
    assert {one["id"].partition("-")[0] for one in queries} == set(KINDS)
    for one in queries:
        at = int(one["passage"].removeprefix("p"))
        asked = one["query"].split()
        if one["id"].startswith("phrase"):
            assert [row for row, text in enumerate(passages) if f" {one['query']} " in f" {text} "] == [at]
        else:
            held = iter(passages[at].split())
            assert all(word in held for word in asked), "the words stand in the passage's order"
        assert at not in (0, 40, 41), "what several passages say is not asked"


def test_places_are_of_the_right_one_and_equals_stand_before_it() -> None:
    from training_late_measures import places, values_of

    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.1], [0.2, 0.1, 0.0]], np.float32)
    found = places(scores, [2, 0, 2])
    assert found.tolist() == [2, 2, 3]
    values = values_of(["a", "b", "c"], [1, 3, 11])
    assert values["mrr"] == {"a": 1.0, "b": 1 / 3, "c": 1 / 11}
    assert values["ndcg@10"] == {"a": 1.0, "b": 0.5, "c": 0.0}
    assert list(values["r@1"].values()) == [1.0, 0.0, 0.0] and list(values["r@10"].values()) == [1.0, 1.0, 0.0]


def test_a_molecule_is_cut_into_atoms_bonds_and_rings_without_loss() -> None:
    from training_chebi_data import ATOMS

    smiles = "C[C@@H]1CCc2c(Cl)cc(Br)c(%12)c2[N+](=O)[O-]"
    found = ATOMS.findall(smiles)
    assert "".join(found) == smiles
    assert {"[C@@H]", "Cl", "Br", "%12", "[N+]", "c", "C"} <= set(found)


def test_only_seeds_that_every_trained_way_has_are_told_of() -> None:
    from training_late_tables import _whole

    cells = {"late": [{"seed": 2}, {"seed": 1}], "single": [{"seed": 1}], "bm25": [{"way": "bm25"}], "whole": []}
    assert _whole(cells) == {"late": [{"seed": 1}], "single": [{"seed": 1}], "bm25": [{"way": "bm25"}]}
