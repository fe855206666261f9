"""The kind llm as it is served: folders of others, adapters, texts without tokens, threads, and what is refused."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retr.encoders import load_encoder  # noqa: E402
from retr.encoders.llm.loading import Loading  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError  # noqa: E402

OF_PEFT = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
TEXTS = ["the red fish swims", "a stone", "from the sky falls a fish in cold water"]


@pytest.fixture(scope="module")
def folder(make_decoder: Any) -> Path:
    return make_decoder("qwen2", ends=True)


def test_a_sentence_transformers_folder_gives_its_vectors(folder: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    modules = library.sentence_transformer.modules
    parts = [modules.Transformer(str(folder)), modules.Pooling(16, "lasttoken"), modules.Normalize()]
    model = library.SentenceTransformer(modules=parts, prompts={"query": "query : "}, device="cpu")
    model.save(str(tmp_path))
    encoder = load_encoder(f"llm={tmp_path}")
    np.testing.assert_allclose(encoder.encode_queries(TEXTS).values, model.encode_query(TEXTS), atol=2e-5)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS).values, model.encode_document(TEXTS), atol=2e-5)


def test_a_bare_folder_is_pooled_by_the_direction_that_its_config_tells(folder: Path, tmp_path: Path) -> None:
    assert load_encoder(f"llm={folder}").identity["llm"]["pooling"] == "lasttoken"
    both = Path(shutil.copytree(folder, tmp_path / "both"))
    config = json.loads((both / "config.json").read_text())
    (both / "config.json").write_text(json.dumps({**config, "is_causal": False}))
    told = load_encoder(f"llm={both}").identity["llm"]
    assert (told["attention"], told["pooling"]) == ("bidirectional", "mean")


def test_texts_of_every_length_go_end_to_end_in_both_directions(make_decoder: Any, tmp_path: Path) -> None:
    folder = make_decoder("mistral")
    for direction in ("causal", "bidirectional"):
        (folder / "retr.json").write_text(json.dumps({"llm": {"kind": "llm", "attention": direction}}))
        assert load_encoder(str(folder)).network.network.packs


@OF_PEFT
def test_an_adapter_is_merged_on_load(make_decoder: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import transformers

    base = make_decoder("llama", lm=True, ends=True)
    model = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(str(base)),
        peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
    )
    model.save_pretrained(str(tmp_path))
    before, after = load_encoder(f"llm={base}"), load_encoder(f"llm={tmp_path}")
    ids = torch.tensor([after.tokenizer.encode(TEXTS[0]).ids])
    with torch.no_grad():
        state = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, -1].numpy()
    found = after.encode_documents(TEXTS[:1]).values[0]
    np.testing.assert_allclose(found, state / np.linalg.norm(state), atol=2e-5)
    assert not np.allclose(found, before.encode_documents(TEXTS[:1]).values[0], atol=1e-3)
    assert before.fingerprint != after.fingerprint


@OF_PEFT
def test_adapters_of_a_folder_may_go_on_learning(make_decoder: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import transformers

    from retr.encoders.trainable.llm.opening import open_llm
    from retr.encoders.trainable.llm.settings import LlmSettings
    from retr.encoders.training.optimising import add_low_rank
    from retr.encoders.training.settings import LoraSettings

    base = make_decoder("llama", ends=True)
    trunk = transformers.AutoModel.from_pretrained(str(base))
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(trunk, config).save_pretrained(str(tmp_path / "adapter"))
    student = open_llm(tmp_path / "adapter", LlmSettings(adapters="keep"))
    learning = {name for name, value in student.module.named_parameters() if value.requires_grad}
    assert learning
    assert all("lora" in name for name in learning)
    with pytest.raises(BadInput, match="low-rank updates of its own"):
        add_low_rank(student.module, LoraSettings())
    with torch.no_grad():
        for name, value in student.module.named_parameters():
            if name in learning:
                value += 0.1
        expected = student.encode_documents(TEXTS).numpy()
    student.save(tmp_path / "out")
    np.testing.assert_allclose(load_encoder(str(tmp_path / "out")).encode_documents(TEXTS).values, expected, atol=2e-5)
    kept, was = ((path / "model.safetensors").read_bytes() for path in (tmp_path / "out", base))
    assert kept == was


def test_an_adapter_without_its_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "nobody/nothing"}))
    with pytest.raises(NotFound, match="adapter of 'nobody/nothing', which is no folder here"):
        load_encoder(f"llm={tmp_path}")


def test_threads_of_both_directions_get_no_wrong_vector(make_decoder: Any, tmp_path: Path) -> None:
    from retr.encoders.trainable.llm.opening import open_llm
    from retr.encoders.trainable.llm.settings import LlmSettings

    source = make_decoder("llama", ends=True)
    both = Path(shutil.copytree(source, tmp_path / "both"))
    (both / "retr.json").write_text(
        json.dumps({"llm": {"kind": "llm", "attention": "bidirectional", "pooling": "mean"}})
    )
    open_llm(source, LlmSettings(pooling="latent-layers", latents=2, heads=2)).save(tmp_path / "layers")
    encoders = [load_encoder(f"llm={source}"), load_encoder(str(both)), load_encoder(str(tmp_path / "layers"))]
    expected = [encoder.encode_documents(TEXTS).values for encoder in encoders]

    def ask(turn: int) -> bool:
        found = encoders[turn % 3].encode_documents(TEXTS).values
        return bool(np.array_equal(found, expected[turn % 3]))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(60)))


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"pooling": "latent", "latent": {"latents": 2}}, NotFound, "lacks llm.safetensors"),
        ({"pooling": "latent"}, Damaged, "do not fit"),
        ({"pooling": "middle"}, Damaged, "No pooling named 'middle'"),
        ({"colour": "red"}, Damaged, "colour"),
    ],
)
def test_a_table_that_makes_no_sense_is_told(
    folder: Path, tmp_path: Path, table: dict[str, Any], error: type[RetrError], message: str
) -> None:
    bad = Path(shutil.copytree(folder, tmp_path / "bad"))
    (bad / "retr.json").write_text(json.dumps({"llm": {"kind": "llm", **table}}))
    with pytest.raises(error, match=message):
        load_encoder(str(bad))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_few_bits_need_a_gpu(folder: Path) -> None:
    with pytest.raises(NotFound, match="4 or 8 bits run on an NVIDIA GPU alone"):
        load_encoder(f"llm={folder}", device="cuda+int4")
    with pytest.raises(NotFound, match="got the device 'cpu'"):
        load_encoder(f"llm={folder}", device="cpu+int8")
    with pytest.raises(BadInput, match="bits is 3"):
        Loading(bits=3)
