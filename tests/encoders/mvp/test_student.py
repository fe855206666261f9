"""What MVP promises of its scores and anchors, on tiny random T5s: methods of arXiv 2509.07485."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.mvp import MVPSettings, MVPStudent, open_mvp  # noqa: E402
from retr.retrieval.errors import BadInput, NotFound  # noqa: E402

CLOSE, EFFECT = 1e-4, 1e-2
QUERY = "the red fish swims"
TEXTS = ["a stone falls", "from the blue sky", "", "red", "cold water in the sea", "fish, fish", "no. 7"]
MakeFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def student(make_mvp: MakeFolder) -> MVPStudent:
    return opened(make_mvp())


def opened(folder: Path, **running: Any) -> MVPStudent:
    student = open_mvp(folder, running=BackboneSettings(**running))
    student.module.eval()
    return student


def judged(student: MVPStudent, *lists: list[str], query: str = QUERY) -> tuple[list[Any], Any]:
    with torch.no_grad():
        found = student.judge([query] * len(lists), lists)
    return [scores.numpy() for scores in found.scores], found.anchors.numpy()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("gated", [False, True])
def test_permuting_candidates_permutes_scores_and_leaves_anchors(
    make_mvp: MakeFolder, attention: str, gated: bool
) -> None:
    student = opened(make_mvp(gated=gated), attention=attention)
    order = [4, 0, 6, 2, 5, 1, 3]
    (scores,), anchors = judged(student, TEXTS)
    (permuted,), again = judged(student, [TEXTS[row] for row in order])
    np.testing.assert_allclose(permuted, scores[order], atol=CLOSE)
    np.testing.assert_allclose(again, anchors, atol=CLOSE)
    assert np.ptp(scores) > 1


def test_a_candidate_left_out_changes_the_others_and_a_list_said_twice_does_not(student: MVPStudent) -> None:
    (scores,), _ = judged(student, TEXTS)
    (fewer,), _ = judged(student, TEXTS[1:])
    (twice,), _ = judged(student, [*TEXTS, *TEXTS])
    assert np.abs(fewer - scores[1:]).max() > EFFECT
    np.testing.assert_allclose(twice, [*scores, *scores], atol=CLOSE)


def test_lists_of_other_lengths_beside_it_change_nothing(student: MVPStudent) -> None:
    lists = [TEXTS[:2], [], TEXTS, TEXTS[3:4]]
    together, anchors = judged(student, *lists)
    alone = [judged(student, texts) for texts in lists]
    for scores, (own, _) in zip(together, alone, strict=True):
        np.testing.assert_allclose(scores, own[0], atol=CLOSE)
    np.testing.assert_allclose(anchors, np.concatenate([own for _, own in alone]), atol=CLOSE)


def test_padding_beside_a_longer_text_changes_no_view(student: MVPStudent) -> None:
    rows = student.prompt.read(QUERY, ["red", "cold water in the sea and a stone that falls"])
    with torch.no_grad():
        together, alone = student.read_views(rows), student.read_views(rows[:1])
    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)


def test_scores_are_those_of_the_models_own_parts_one_candidate_and_one_view_at_a_time(student: MVPStudent) -> None:
    model = student.backbone.model
    rows = student.prompt.read(QUERY, TEXTS)
    with torch.no_grad():
        states = [model.encoder(input_ids=torch.tensor([row])).last_hidden_state[0] for row in rows]
        expected = torch.zeros(len(TEXTS))
        for view in range(4):
            seen = torch.stack([state[view] for state in states])[None]
            start = torch.tensor([[model.config.decoder_start_token_id]])
            anchor = model.decoder(input_ids=start, encoder_hidden_states=seen).last_hidden_state[0, 0]
            expected += seen[0] @ anchor / 4
    np.testing.assert_allclose(judged(student, TEXTS)[0][0], expected, atol=CLOSE)


def test_the_views_come_first_and_truncation_touches_neither_them_nor_the_words(make_mvp: MakeFolder) -> None:
    prompt = opened(make_mvp(max_tokens=24, query_tokens=6)).prompt
    sentinels = [prompt.tokenizer.token_to_id(f"<extra_id_{view}>") for view in range(4)]
    for ids in prompt.read("fish " * 50, ["", "stone " * 50]):
        assert ids[:4] == sentinels and ids[-1] == 2 and len(ids) <= 24
        words = [prompt.tokenizer.id_to_token(row) for row in ids[4:]]
        assert words[1:3] == ["query", ":"] and words.count("fish") == 3
        assert "".join(word.removeprefix("##") for word in words).count("context") == 1


def test_the_parts_of_a_text_are_tokenized_as_the_whole(student: MVPStudent) -> None:
    tokenizer = student.prompt.tokenizer
    whole = "".join(f"<extra_id_{view}>" for view in range(4)) + f" | Query: {QUERY} | Context: {TEXTS[0]}"
    assert student.prompt.read(QUERY, TEXTS[:1]) == [[*tokenizer.encode(whole).ids, 2]]


def test_a_published_checkpoint_has_the_scores_of_the_weights_under_their_own_names(
    make_mvp: MakeFolder, make_published: MakeFolder
) -> None:
    own, theirs = opened(make_mvp(seed=3, max_tokens=256)), opened(make_published(seed=3))
    np.testing.assert_allclose(judged(theirs, TEXTS)[0][0], judged(own, TEXTS)[0][0], atol=CLOSE)


def test_a_saved_student_opens_with_the_same_scores_and_settings(make_published: MakeFolder, tmp_path: Path) -> None:
    student = open_mvp(make_published(seed=4), MVPSettings(views=3, max_tokens=32))
    student.module.eval()
    student.save(tmp_path / "out")
    again = opened(tmp_path / "out")
    assert again.settings == MVPSettings(views=3, max_tokens=32)
    np.testing.assert_array_equal(judged(again, TEXTS)[0][0], judged(student, TEXTS)[0][0])


def test_gradient_reaches_the_views_tokens_and_the_decoder(make_mvp: MakeFolder) -> None:
    student = open_mvp(make_mvp(seed=5))
    student.score([QUERY], [TEXTS])[0].logsumexp(0).backward()
    model = student.backbone.model
    assert bool((model.shared.weight.grad[list(student.prompt.views)].abs().sum(1) > 0).all())
    assert float(model.decoder.block[0].layer[1].EncDecAttention.v.weight.grad.abs().sum()) > 0


def test_the_decoder_runs_once_however_many_lists(student: MVPStudent, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    decoder = student.backbone.model.decoder
    forward = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda **given: calls.append(1) or forward(**given))
    judged(student, TEXTS, TEXTS[:3], TEXTS[2:])
    assert len(calls) == 1


def test_what_is_no_t5_or_lacks_the_views_tokens_is_refused(make_bi: MakeFolder, make_mvp: MakeFolder) -> None:
    with pytest.raises(BadInput, match="type 'bert'; MVP needs one of t5"):
        open_mvp(make_bi("bert"))
    with pytest.raises(BadInput, match="no token <extra_id_8>"):
        open_mvp(make_mvp(), MVPSettings(views=9))
    with pytest.raises(NotFound, match="safetensors"):
        folder = make_mvp()
        (folder / "model.safetensors").unlink()
        open_mvp(folder)


@pytest.mark.parametrize("told", [{"views": 0}, {"max_tokens": 8}, {"query_tokens": 250}, {"query_tokens": -1}])
def test_settings_out_of_range_are_refused(told: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="give"):
        MVPSettings(**told)
