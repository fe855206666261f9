"""Query likelihood: a score is the log-probability of the query's tokens, and what a stop hides stays hidden."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

from retr.encoders import load_encoder, load_scorer  # noqa: E402
from retr.encoders.llm.folder import read_llm  # noqa: E402
from retr.encoders.llm.ql_settings import PROMPT, QlTable  # noqa: E402
from retr.encoders.objectives.query_likelihood import QueryLikelihood, corrupted  # noqa: E402
from retr.encoders.on_torch.compute import Compute  # noqa: E402
from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.llm.opening import open_llm  # noqa: E402
from retr.encoders.trainable.llm.ql_opening import open_ql  # noqa: E402
from retr.encoders.trainable.llm.rows import PaddedRows  # noqa: E402
from retr.encoders.trainable.llm.settings import LlmSettings  # noqa: E402
from retr.encoders.trainable.llm.student import LlmStudent  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

SHORT = "a : {document} in water "
QUERY = "red fish in water"
TEXTS = ["the red fish swims", "", "a stone", "from the sky falls a fish in cold water"]
STOP = LlmSettings(
    "causal", "lasttoken", generates=True, query_likelihood="stop", document_prompt="a : ", similarity="cosine"
)


@pytest.fixture(scope="module")
def llama(make_decoder: Any) -> Path:
    return make_decoder("llama", lm=True)


def told(folder: Path, path: Path, **table: Any) -> Path:
    """A copy of a folder whose retr.json has that table."""
    shutil.copytree(folder, path)
    (path / "retr.json").write_text(json.dumps({"ql": table}))
    return path


def asked(folder: Path, **table: Any) -> Any:
    return open_ql(read_llm(folder), QlTable(**table), Compute.asked("cpu").place())[0]


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_neox"])
def test_a_score_is_the_sum_over_the_query_of_a_plain_loop(make_decoder: Any, tmp_path: Path, family: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = told(make_decoder(family, lm=True), tmp_path / "told", prompt=SHORT)
    scorer = load_scorer(f"ql={folder}")
    tokenizer = scorer_tokenizer(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    query = tokenizer.encode(QUERY, add_special_tokens=False).ids
    for text, score in zip(TEXTS, scorer.score(QUERY, TEXTS), strict=True):
        row = tokenizer.encode(SHORT.replace("{document}", text), add_special_tokens=False).ids + query
        with torch.no_grad():
            known = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        first = len(row) - len(query)
        expected = sum(float(known[place - 1, row[place]]) for place in range(first, len(row)))
        assert score == pytest.approx(expected, rel=1e-4)
    assert scorer.comparable


def scorer_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_normalised_it_is_the_mean(llama: Path, tmp_path: Path) -> None:
    mean = load_scorer(f"ql={told(llama, tmp_path / 'mean', kind='ql', normalise=True)}")
    sums = load_scorer(f"ql={llama}")
    assert sums.describe()["ql"]["prompt"] == PROMPT
    count = len(scorer_tokenizer(llama).encode(QUERY, add_special_tokens=False).ids)
    np.testing.assert_allclose(mean.score(QUERY, TEXTS), sums.score(QUERY, TEXTS) / count, rtol=1e-5)
    assert mean.fingerprint != sums.fingerprint
    np.testing.assert_array_equal(mean.score("", TEXTS), np.zeros(4))


def test_a_long_document_leaves_room_for_what_stands_around_it(llama: Path) -> None:
    texts = asked(llama, prompt="a : {document} in water", stop=True, max_tokens=24).texts
    queries = texts.queries(["fish " * 30, "red"], ended=True)
    assert [len(query) for query in queries] == [6, 2]
    long, short = texts.documents(["stone " * 50, "stone"], queries)
    assert (len(long), long[:2], long[-3:]) == (18, short[:2], short[-3:])
    assert long[-1] == queries[0][-1] == 2


def test_a_decoder_without_logits_is_refused(make_decoder: Any) -> None:
    with pytest.raises(BadInput, match="no layer of logits"):
        load_scorer(f"ql={make_decoder('llama')}")


@pytest.mark.parametrize(
    ("table", "message"),
    [({"prompt": "Passage:"}, "must hold {document} once"), ({"max_tokens": 3}, "max_tokens is 3")],
)
def test_a_wrong_table_is_refused(llama: Path, tmp_path: Path, table: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_scorer(f"ql={told(llama, tmp_path / 'wrong', **table)}")


@pytest.fixture(scope="module")
def student(llama: Path) -> LlmStudent:
    """Trained to tell a query from the vector's token alone."""
    return open_llm(llama, STOP)


def test_the_mask_of_a_stop_by_hand() -> None:
    rows = PaddedRows.of([[5, 6, 7, 8, 9], [5, 7, 8]], 0, torch.device("cpu"), "left")
    long, short = rows.looks(causal=True, stops=torch.tensor([2, 1])).int().tolist()
    assert long == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert short == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]


@pytest.mark.parametrize("layers", [1, 2])
def test_through_one_layer_no_gradient_comes_past_the_vectors_token(llama: Path, layers: int) -> None:
    one = open_llm(llama, STOP, BackboneSettings(layers=layers))
    felt = gradients(one, stop=True)
    assert bool((felt[:-1] == 0).all()) == (layers == 1)  # through two, the vector's token carries the document
    assert felt[-1] > 0
    assert (gradients(one, stop=False)[:-1] > 0).all()


def gradients(student: LlmStudent, *, stop: bool) -> Any:
    """How strongly what the query's own states tell feels each token of the prompt, which has five."""
    kept: list[Any] = []
    trunk = student.decoder.trunk
    hooks = [
        trunk.get_input_embeddings().register_forward_hook(lambda _, __, out: kept.append(out.requires_grad_()) or out),
        trunk.norm.register_forward_pre_hook(
            lambda _, given: (torch.cat([given[0][:, :5].detach(), given[0][:, 5:]], 1),)
        ),
    ]
    sums, _ = student.decoder.log_probs([[5, 6, 7, 8, 2]], [[9, 10, 11]], stop=stop)
    for one in hooks:
        one.remove()
    (felt,) = torch.autograd.grad(sums.sum(), kept)
    return felt[0, :5].abs().sum(1)


@pytest.mark.parametrize("stop", [True, False])
def test_another_document_with_the_same_states_of_its_vectors_token_gives_the_same(
    student: LlmStudent, stop: bool
) -> None:
    query, documents = [[9, 10, 11]], ([[5, 6, 7, 8, 2]], [[20, 21, 22, 23, 2]])
    held: list[Any] = []
    parts = [*student.decoder.trunk.layers, student.decoder.trunk.norm]  # behind the last layer its state tells too

    def asked(document: Any, hook: Any) -> Any:
        hooks = [layer.register_forward_pre_hook(hook) for layer in parts]
        with torch.no_grad():
            found = student.decoder.log_probs(document, query, stop=stop)[0]
        for one in hooks:
            one.remove()
        return found

    def put(_: Any, given: Any) -> Any:
        states = given[0].clone()
        states[:, 4] = held.pop(0)
        return states, *given[1:]

    first = asked(documents[0], lambda _, given: held.append(given[0][:, 4].clone()))
    other = asked(documents[1], lambda _, given: None)
    assert (first - other).abs() > 1e-3
    assert bool(torch.equal(asked(documents[1], put), first)) == stop


def test_the_query_sees_the_token_whose_state_is_the_vector(student: LlmStudent) -> None:
    assert student.likelihood is not None
    prompt = student.likelihood.texts.documents(["a stone"], [[9]])
    assert prompt[0] == student.tokenizer.encode("a : a stone").ids
    with torch.no_grad():
        state = student.decoder.states(student.decoder.rows(prompt), causal=True)[0][0, -1]
        vector = student.encode_documents(["a stone"])[0]
    torch.testing.assert_close(torch.nn.functional.normalize(state, dim=0), vector)


def test_the_documents_tokens_count_by_their_weight(student: LlmStudent) -> None:
    rows = ["red", "in water"], ["the fish", "from the sky falls a stone"]
    plain, none = student.query_log_probs(*rows, 0.0), student.query_log_probs(*rows, 1e-9)
    whole, half = student.query_log_probs(*rows, 1.0), student.query_log_probs(*rows, 0.5)
    torch.testing.assert_close(none[0], plain[0], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(half[0], (whole[0] + plain[0]) / 2)
    assert student.likelihood is not None
    queries = student.likelihood.texts.queries(rows[0], ended=True)
    prompts = student.likelihood.texts.documents(rows[1], queries)
    assert plain[1].tolist() == [len(query) for query in queries]
    assert whole[1].tolist() == [len(row) + len(query) - 1 for row, query in zip(prompts, queries, strict=True)]
    alone = [student.decoder.log_probs([row[:1]], [row[1:]])[0] for row in prompts]
    torch.testing.assert_close(whole[0] - plain[0], torch.cat(alone), atol=1e-3, rtol=1e-4)


def test_what_was_trained_is_asked_as_it_was_trained(llama: Path, tmp_path: Path) -> None:
    student = open_llm(llama, STOP)
    batch = Batch(tuple(TEXTS[:1] + TEXTS[2:]), ("cold water", "the sky", "a red fish"))
    loss, optimiser = QueryLikelihood(corruption=0.0), torch.optim.Adam(student.module.parameters(), 1e-2)
    before = float(loss(student, batch).detach())
    for _ in range(8):
        optimiser.zero_grad()
        loss(student, batch).backward()
        optimiser.step()
    assert float(loss(student, batch).detach()) < 0.7 * before
    student.save(tmp_path / "model")
    served = load_scorer(f"ql={tmp_path / 'model'}")
    assert (served.describe()["ql"]["stop"], served.describe()["ql"]["prompt"]) == (True, "a : {document}")
    assert student.likelihood is not None
    with torch.no_grad():
        expected = student.likelihood.score(QUERY, TEXTS).numpy()
    np.testing.assert_allclose(served.score(QUERY, TEXTS), expected, atol=1e-4)
    with torch.no_grad():
        vectors = student.encode_documents(TEXTS).numpy()
    np.testing.assert_allclose(load_encoder(str(tmp_path / "model")).encode_documents(TEXTS).values, vectors, atol=2e-5)


def test_corruption_hides_its_share_of_words_by_the_seed() -> None:
    text = "ab  cd\nef " * 3000
    torch.manual_seed(3)
    once, again = corrupted(text, 0.6), corrupted(text, 0.6)
    assert once.split().count("_") / 9000 == pytest.approx(0.6, abs=0.02)
    assert once != again
    torch.manual_seed(3)
    assert corrupted(text, 0.6) == once
    assert corrupted(text, 0.0) == text
    assert set(corrupted(text, 1.0).split()) == {"_"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: LlmSettings(query_likelihood="stop"), "needs generates"),
        (lambda: LlmSettings(generates=True, query_likelihood="yes"), "query_likelihood is"),  # type: ignore[arg-type]
        (lambda: QueryLikelihood(corruption=2), "corruption is 2"),
        (lambda: QueryLikelihood(document_weight=-1), "document_weight is -1"),
    ],
)
def test_a_wrong_setting_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        wrong()


def test_a_stop_needs_a_causal_last_token_and_the_objective_a_student_that_was_asked(llama: Path) -> None:
    with pytest.raises(BadInput, match="Set attention = causal"):
        open_llm(llama, LlmSettings("bidirectional", generates=True, query_likelihood="stop"))
    with pytest.raises(BadInput, match="query_likelihood = "):
        QueryLikelihood()(open_llm(llama), Batch(("a",), ("b",)))
