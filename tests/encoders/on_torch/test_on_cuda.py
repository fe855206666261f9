"""The GPU's kernel for many lengths: what it is given, by a stand-in; and on a GPU, vectors that are the CPU's."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.on_torch import batches, varlen  # noqa: E402
from retr.encoders.on_torch.attention import packed_attention  # noqa: E402
from retr.encoders.on_torch.batches import pooled_vectors  # noqa: E402
from retr.encoders.on_torch.compute import Compute  # noqa: E402
from retr.encoders.on_torch.network import network_of  # noqa: E402
from retr.encoders.on_torch.packing import Packing  # noqa: E402
from retr.encoders.on_torch.varlen import Terms, varlen_attention  # noqa: E402

LENGTHS = [9, 4, 4, 1]
on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")]


def by_hand(query: Any, key: Any, value: Any, ends: Any, window: tuple[int, int], scale: float | None) -> Any:
    """Attention text by text and pair by pair, [tokens, heads, dim]: -1 is no limit on that side."""
    found = torch.zeros_like(query)
    groups = query.shape[1] // key.shape[1]
    for first, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        for row in range(first, end):
            low = first if window[0] < 0 else max(first, row - window[0])
            high = end if window[1] < 0 else min(end, row + window[1] + 1)
            for head in range(query.shape[1]):
                keys, values = key[low:high, head // groups], value[low:high, head // groups]
                scores = keys @ query[row, head] * (query.shape[2] ** -0.5 if scale is None else scale)
                found[row, head] = scores.softmax(0) @ values
    return found


class AsOnGpu:
    """A kernel that answers by hand and keeps what it was given."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def __call__(self, *tensors: Any, **named: Any) -> Any:
        query, key, value, starts, ends, longest, longest_key = tensors
        assert torch.equal(starts, ends)
        assert (longest, longest_key, starts.dtype) == (max(LENGTHS), max(LENGTHS), torch.int32)
        self.given = named
        assert named["enable_gqa"] == (query.shape[1] != key.shape[1])
        return by_hand(query, key, value, ends, named["window_size"], named["scale"])


@pytest.mark.parametrize("heads", [4, 2])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_the_kernel_is_given_what_grouped_attention_does(
    monkeypatch: pytest.MonkeyPatch, causal: bool, window: int | None, heads: int
) -> None:
    draw = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, n, sum(LENGTHS), 8, generator=draw) for n in (4, heads, heads))
    packing, terms = Packing.of(LENGTHS), Terms(causal, window, scale=0.3)
    given = {"retr_packing": packing, "is_causal": causal, "sliding_window": window, "scaling": 0.3}
    expected, _ = packed_attention(torch.nn.Identity(), query, key, value, None, **given)
    kernel = AsOnGpu()
    monkeypatch.setattr(varlen, "_kernel_for", lambda query, value, terms: kernel)
    found = varlen_attention(query, key, value, packing, terms)
    assert found is not None
    assert found.shape == (1, sum(LENGTHS), 4, 8)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    left, right = kernel.given["window_size"]
    assert (left, right) == ({None: -1, 3: 2}[window], 0 if causal else {None: -1, 3: 2}[window])


def test_the_kernel_is_for_half_precision_without_dropout_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = object()
    monkeypatch.setattr(varlen, "_kernel", lambda device: kernel)

    def chosen(dtype: Any, dim: int = 16, *, dropout: float = 0.0, gpu: bool = True) -> Any:
        query = SimpleNamespace(is_cuda=gpu, dtype=dtype, shape=(1, 4, 9, dim), device="cuda")
        return varlen._kernel_for(query, query, Terms(False, dropout=dropout))

    assert chosen(torch.float16) is kernel
    assert chosen(torch.bfloat16, 256) is kernel
    assert chosen(torch.float32) is None
    assert chosen(torch.float16, 12) is None
    assert chosen(torch.float16, 264) is None
    assert chosen(torch.float16, dropout=0.1) is None
    assert chosen(torch.float16, gpu=False) is None


def test_this_torchs_kernel_takes_the_arguments_used_here() -> None:
    assert varlen._signature_fits() or torch.__version__ < "2.11"


def test_vectors_fetched_late_lie_in_the_rows_of_their_texts(make_transformer: Any) -> None:
    network = network_of(make_transformer("bert"), Compute().place())
    ids = [np.random.default_rng(n).integers(5, 99, n % 7 + 1) for n in range(20)]
    lengths = [len(text) for text in ids]
    runs = batches.runs_of_tokens(lengths, 8)
    assert len(runs) > batches.RUNS_AHEAD + 2
    out = np.empty((20, 32), np.float32)
    found = batches._overlapped(runs, lambda rows: network.pooled([ids[row] for row in rows], ["mean"]), out)
    np.testing.assert_allclose(found, pooled_vectors(network, ids, ["mean"]), atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "llama", "mpnet"])
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
class TestOnAGpu:
    """Each family in each precision, against float32 on the CPU."""

    pytestmark = on_a_gpu

    def test_vectors_are_those_of_the_cpu(self, make_transformer: Any, family: str, precision: Any) -> None:
        ids = [np.random.default_rng(n).integers(5, 99, n % 40 + 1) for n in range(60)]
        exact = pooled_vectors(network_of(make_transformer(family), Compute().place()), ids, ["mean"])
        network = network_of(make_transformer(family), Compute("cuda", precision).place())
        found = pooled_vectors(network, ids, ["mean"])
        relative = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert relative.max() < {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}[precision]

    def test_a_packed_text_is_the_text_alone(self, make_transformer: Any, family: str, precision: Any) -> None:
        network = network_of(make_transformer(family), Compute("cuda", precision).place())
        ids = [np.random.default_rng(n).integers(5, 99, n % 40 + 1) for n in range(20)]
        alone = np.concatenate([pooled_vectors(network, [text], ["mean"]) for text in ids])
        together = pooled_vectors(network, ids, ["mean"])
        relative = np.linalg.norm(together - alone, axis=1) / np.linalg.norm(alone, axis=1)
        assert relative.max() < {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}[precision]
