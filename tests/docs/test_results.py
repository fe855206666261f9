"""docs/results.md is what bench/results_page.py makes of the recorded runs and of the published figures."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import results_page

    return results_page


@pytest.fixture
def published(tmp_path: Path) -> Path:
    figure = {"data": "Cranfield", "metric": "MAP", "source": "a paper", "where": "table 2", "evidence": "paper"}
    facts = {
        "systems": {"bi": "Bi-encoder", "uni": "Uni-Encoder"},
        "figures": [{**figure, "system": "bi", "model": "small", "value": 0.31}],
    }
    path = tmp_path / "published.json"
    path.write_text(json.dumps(facts))
    return path


def finding(**changes: object) -> dict[str, object]:
    whole = {"system": "bi", "model": "ours", "data": "Cranfield", "metric": "MAP", "mean": 0.25, "queries": 225}
    return {**whole, "low": 0.2, "high": 0.3, "command": "python bench/x.py", **changes}


def test_the_page_is_what_the_command_writes(
    page: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["results_page.py", "--check"])
    page.main()


def test_a_changed_page_is_stale(page: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = tmp_path / "results.md"
    changed.write_text(page.PAGE.read_text().replace("0.", "0.9", 1))
    monkeypatch.setattr(page, "PAGE", changed)
    monkeypatch.setattr(page, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["results_page.py", "--check"])
    with pytest.raises(SystemExit, match="is not what the results say"):
        page.main()


def test_a_plot_of_other_figures_is_stale(page: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "digest", lambda result: "another")
    monkeypatch.setattr("sys.argv", ["results_page.py", "--check"])
    with pytest.raises(SystemExit, match="is not what the results say"):
        page.main()


def test_measured_and_published_stand_side_by_side(page: Any, published: Path) -> None:
    text = page.rendered({"x": {"file": "x.json", "findings": [finding()]}}, published)
    line = next(line for line in text.splitlines() if line.startswith("| Bi-encoder"))
    assert "0.31" in line
    assert "0.250 [0.200, 0.300]" in line
    assert "bench/results/x.json" in text
    assert "python bench/x.py" in text


def test_seeds_and_a_paired_difference_stand_beside_the_mean(page: Any, published: Path) -> None:
    beside = {"model": "BM25", "difference": 0.02, "low": 0.01, "high": 0.03, "p": 0.00001}
    both = [finding(), finding(model="trained", mean=0.27, seeds=3, sd=0.004, against=beside)]
    lines = page.rendered({"x": {"file": "x.json", "findings": both}}, published).splitlines()
    trained = next(line for line in lines if line.startswith("| trained"))
    assert "0.270 [0.200, 0.300] ± 0.004 over 3 seeds" in trained
    assert "+0.020 [+0.010, +0.030], p <0.0001, to BM25" in trained
    assert any("difference [95%]" in line for line in lines)


def test_a_result_with_a_title_has_a_section_of_its_own(page: Any, published: Path) -> None:
    machine, versions = {"cpu": "a processor", "cores": 2}, {"retr": {"retr": "1.0"}}
    where = {"commit": "abc", "file": "x.json"}
    table = {"columns": ["kind", "R@1"], "rows": [["uni", "0.61"]]}
    result = {
        "title": "Choosing replies",
        "tables": [table],
        "caption": "Three seeds.",
        "commit": "abc",
        "file": "x.json",
    }
    text = page.rendered({"x": {**result, **where, "machine": machine, "versions": versions}}, published)
    section = text[text.index("## Choosing replies") :]
    assert "| uni  | 0.61 |" in section
    assert "Three seeds." in section
    assert "`bench/results/x.json` at commit `abc`; a processor, 2 cores. Versions: retr 1.0." in section


def test_the_part_on_candidates_says_what_was_measured(page: Any) -> None:
    import results_depth

    def row(name: str, mean: float) -> dict[str, Any]:
        ends = {"low": mean - 0.1, "high": mean + 0.1}
        beside = {"difference": mean - 0.7, "low": -0.01, "high": 0.05}
        return {"candidates": name, "relevant": 0.5, "best": 0.9, "mean": mean, **ends, "against_100": beside}

    depth = {
        "rows": [row(results_depth.HUNDRED, 0.7), row("more (estimate)", 0.73)],
        "far": 1000,
        "extrapolated": {"value": 0.74, "low": 0.6, "high": 0.8, "power": 0.5},
        "residual": {"mean": 0.08},
        "table": {"columns": ["candidates"], "rows": [["BM25"]]},
    }
    stated = {"value": 0.75, "steps": [{"value": 0.701}, {"value": 0.697}]}
    rows = [{"system": "cross", "set": results_depth.RERANKED, "page": stated}]
    text = "\n".join(results_depth.part({"depth": depth, "rows": rows}))
    for said in ("states 0.750", "hold 50%", "best order has 0.900", "by 0.0030 at most", "has 0.730, +0.030 [-0.010"):
        assert said in " ".join(text.split())
    assert "to 1,000: 0.740 [0.600, 0.800]" in text
    assert "from 0.600 to 0.800" in text


def test_the_plot_of_candidates_shows_what_is_stated_and_carries_its_mark(page: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import results_depth

    means = {"mean": 0.7, "low": 0.6, "high": 0.8, "best": 0.9}
    names = {
        "BM25, the first 10": 10,
        results_depth.HUNDRED: 100,
        f"BM25, the first 1,000 {results_depth.ESTIMATE}": 176,
    }
    rows = [{"candidates": name, "passages": many, **means} for name, many in names.items()]
    line = {"value": 0.74, "low": 0.6, "high": 0.8, "power": 0.5}
    depth = {"rows": rows, "far": 1000, "extrapolated": line, "stated": 0.75}
    page.draw(depth, tmp_path / results_depth.PLOT, page.digest(depth))
    drawn = (tmp_path / results_depth.PLOT).read_text()
    assert "stated, of 1,000: 0.750" in drawn
    assert page.digest(depth) in drawn


def test_a_system_without_a_run_says_so(page: Any, published: Path) -> None:
    text = page.rendered({}, published)
    assert text.count(page.NOT_RUN) == 2
    assert all("not run yet" in line for line in text.splitlines() if line.startswith(("| Bi-enc", "| Uni-Enc")))


def test_the_same_data_comes_before_other_data(page: Any, published: Path) -> None:
    both = [finding(data="MED", mean=0.9), finding()]
    text = page.rendered({"x": {"file": "x.json", "findings": both}}, published)
    assert "0.250" in next(line for line in text.splitlines() if line.startswith("| Bi-encoder"))


def test_commands_that_differ_in_the_set_alone_are_one(page: Any) -> None:
    commands = ["b --sets a --systems x", "b --sets c --systems x", "b --sets a --systems y", "d", "d"]
    assert page.together(commands) == ["b --sets a c --systems x", "b --sets a --systems y", "d"]


def test_every_published_figure_is_of_a_system_and_says_how_it_is_known(page: Any) -> None:
    facts = json.loads(page.PUBLISHED.read_text(encoding="utf-8"))
    assert {figure["system"] for figure in facts["figures"]} == set(facts["systems"])
    assert all(figure["evidence"] in page.EVIDENCE for figure in facts["figures"])
    assert all((figure["value"] is None) == (figure["evidence"] == "not read") for figure in facts["figures"])


def test_every_system_of_the_library_has_what_is_reported_of_it(page: Any) -> None:
    facts = json.loads(page.PUBLISHED.read_text(encoding="utf-8"))
    kinds = {"bi", "cross", "uni", "poly", "filip", "trans-self", "trans-mutual", "dse", "grl", "llm-ql", "mvp"}
    assert kinds <= {figure["system"] for figure in facts["figures"]}
    text = page.PAGE.read_text(encoding="utf-8")
    assert all(f"## {facts['systems'][kind]}\n" in text for kind in kinds)


def test_every_recorded_finding_is_whole(page: Any) -> None:
    systems = json.loads(page.PUBLISHED.read_text(encoding="utf-8"))["systems"]
    results = page.newest_of_all()
    for finding in page.findings(results):
        place = (finding["file"], finding["model"], finding["data"], finding["metric"])
        assert finding["system"] in systems, place
        assert finding.get("low") is None or finding["low"] <= finding["mean"] <= finding["high"], place
        assert finding["queries"] is None or finding["queries"] > 0, place
        assert (finding.get("sd") is None) == (finding.get("seeds") is None), place
        assert finding["command"].startswith("python bench/"), place
        assert " /" not in finding["command"], place
    places = [(one["system"], one["model"], one["data"], one["metric"]) for one in page.findings(results)]
    assert len(places) == len(set(places))
    told = [result for result in results.values() if result.get("findings")]
    assert all({"machine", "versions", "commit", "when"} <= result.keys() for result in told)
