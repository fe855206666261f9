"""Every compiled kernel computes what its numpy twin does: in Python, under address checks, and on ARM."""

import itertools
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders.graphs.quantising import quantised
from retr.encoders.kernels import native
from retr.encoders.kernels.reference import forward, forward_row
from retr.encoders.kernels.rows import RowKernels
from retr.encoders.rankers.layout import allowed, places
from retr.encoders.rankers.networks import NativeRows, OnnxRows, open_rows
from retr.encoders.reading.weights import Layer, Linear, Norm, Table, Transformer
from retr.encoders.running.network import OnnxNetwork
from retr.encoders.running.transformer import open_transformer
from retr.retrieval.errors import BadInput

WORDS, POSITIONS = 50, 200


@dataclass(frozen=True)
class Shape:
    """What the kernels branch on."""

    dim: int = 32
    heads: int = 2
    wide: int = 48
    layers: int = 2
    activation: str = "gelu"
    types: bool = True
    relative: bool = False


SHAPES = {
    "MiniLM's head": Shape(dim=64, heads=2, wide=160),
    "BERT-base's head": Shape(dim=128, heads=2, wide=256),
    "nothing divides": Shape(dim=35, heads=5, wide=61),
    "smaller than a vector": Shape(dim=6, heads=3, wide=7),
    "tanh": Shape(activation="gelu_new"),
    "relu, no types": Shape(activation="relu", types=False),
    "relative": Shape(relative=True, types=False),
}


def transformer(shape: Shape, precision: str = "float32", seed: int = 0) -> Transformer:
    """Random weights; `mixed` leaves every second matrix in float32."""
    rng = np.random.default_rng(seed)

    def draw(*sizes: int) -> np.ndarray:
        return rng.normal(0, 1 / np.sqrt(sizes[0]), sizes).astype(np.float32)

    def linear(inputs: int, outputs: int) -> Linear:
        return Linear(draw(inputs, outputs), draw(outputs, 1)[:, 0])

    def norm() -> Norm:
        return Norm(1 + draw(shape.dim, 1)[:, 0], draw(shape.dim, 1)[:, 0])

    dim, wide = shape.dim, shape.wide
    layers = tuple(
        Layer(*(linear(dim, dim) for _ in range(4)), norm(), linear(dim, wide), linear(wide, dim), norm())
        for _ in range(shape.layers)
    )
    made = Transformer(
        words=Table(rng.normal(size=(WORDS, dim)).astype(np.float32)),
        positions=rng.normal(size=(POSITIONS, dim)).astype(np.float32),
        types=rng.normal(size=(2, dim)).astype(np.float32) if shape.types else None,
        norm=norm(),
        layers=layers,
        heads=shape.heads,
        epsilon=1e-12,
        activation=shape.activation,
        relative=rng.normal(size=(2 * POSITIONS - 1, shape.heads)).astype(np.float32) if shape.relative else None,
    )
    if precision == "float32":
        return made
    keep = {f"layers.{n}.{name}" for n in range(shape.layers) for name in ("key", "out", "down")}
    return quantised(made, keep if precision == "mixed" else frozenset(), words=precision == "int8")


def texts(lengths: list[int], seed: int = 1) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Token numbers and segments of texts of these lengths."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, WORDS, n) for n in lengths], [(np.arange(n) > n // 2).astype(np.int64) for n in lengths]


def end_to_end(parts: list[np.ndarray]) -> np.ndarray:
    """Texts laid one after the other."""
    return np.concatenate(parts).astype(np.int64)


def offsets(parts: list[np.ndarray]) -> np.ndarray:
    """Where each of them starts, and where the last one ends."""
    return np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64)


def write_for_driver(path: Path, weights: Transformer, ids: list[np.ndarray], segments: list[np.ndarray]) -> None:
    """What driver.cpp reads: numbers as int64, arrays with their size in bytes before them (0 for none)."""
    activations = {"gelu": 0, "gelu_new": 1, "relu": 2}
    half = any(linear.scale is not None for linear in weights.linears())
    reach = 0 if weights.relative is None else len(weights.relative) // 2
    numbers = [weights.dim, weights.layers[0].up.weight.shape[1], weights.heads, len(weights.layers)]
    numbers += [len(weights.words.values), len(weights.positions), 0 if weights.types is None else len(weights.types)]
    numbers += [activations[weights.activation], reach, int(half)]
    with path.open("wb") as file:

        def put(values: Any) -> None:
            data = b"" if values is None else np.ascontiguousarray(values).tobytes()
            file.write(struct.pack("<q", len(data)) + data)

        file.write(struct.pack("<10qd", *numbers, weights.epsilon))
        words = weights.words
        for values in (words.values, words.scale, weights.positions, weights.types, weights.relative):
            put(values)
        put(weights.norm.weight)
        put(weights.norm.bias)
        for layer in weights.layers:
            for one in layer.linears():
                file.write(struct.pack("<2q", *one.weight.shape))
                for values in (one.weight, one.bias, one.scale):
                    put(values)
            for norm in (layer.out_norm, layer.down_norm):
                put(norm.weight)
                put(norm.bias)
        for values in (end_to_end(ids), end_to_end(segments), offsets(ids)):
            put(values)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def close(kernels: str, precision: str) -> float:
    """Largest difference of a state, which are of size 1.

    In int8 a number at the boundary between two levels may go either way; bfloat16 attention moves a state further.
    """
    if precision == "float32":
        return 2e-5
    return 8e-2 if kernels == "avx512-bf16" else 4e-2


def row_twin(
    weights: Transformer, ids: list[np.ndarray], segments: list[np.ndarray], mask: Any, positions: Any = "shared"
) -> np.ndarray:
    """States [tokens, dim] of the numpy twin for a context, the first text, with its candidates."""
    lengths = [len(one) for one in ids]
    looks = allowed(np.repeat(np.arange(len(ids)), lengths)[None], mask)[0]
    return forward_row(weights, end_to_end(ids), end_to_end(segments), places(lengths, positions), looks)


DRIVEN = [17, 3, 1, 66, 100]
LENGTHS = [1, 2, 3, 5, 7, 16, 17, 33, 64, 65, 130]


def test_the_kernels_are_built_where_a_compiler_is() -> None:
    if shutil.which("g++") is None and native.library() is None:
        pytest.skip("no compiler")
    assert native.kernels()
    assert native.chosen() == native.kernels()[0]


def run(network: native.NativeNetwork, ids: list[np.ndarray], segments: list[np.ndarray]) -> list[np.ndarray]:
    states = network.packed(end_to_end(ids), end_to_end(segments), offsets(ids))
    return np.split(states, offsets(ids)[1:-1])


@pytest.mark.parametrize("precision", ["float32", "mixed", "int8"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("kernels", native.kernels())
def test_states_are_those_of_the_numpy_twin(kernels: str, shape: Shape, precision: str) -> None:
    weights = transformer(shape, precision)
    ids, segments = texts(LENGTHS)
    if not shape.types:
        segments = [np.zeros_like(one) for one in segments]
    found = run(native.open_native(weights, segments=shape.types, kernels=kernels), ids, segments)
    for ours, twin in zip(found, forward(weights, ids, segments), strict=True):
        assert np.abs(ours - twin).max() < close(kernels, precision)
        assert cosine(ours, twin) > (1 - 1e-6 if precision == "float32" else 0.9995)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("kernels", native.kernels())
def test_a_texts_states_are_the_same_bits_whatever_stands_beside_it(kernels: str, precision: str) -> None:
    shape = SHAPES["MiniLM's head"]
    network = native.open_native(transformer(shape, precision), segments=True, kernels=kernels)
    rng = np.random.default_rng(3)
    ids, segments = texts(rng.integers(1, 150, 40).tolist())
    alone = [run(network, [one], [kind])[0] for one, kind in zip(ids, segments, strict=True)]
    for ours, expected in zip(run(network, ids, segments), alone, strict=True):
        assert np.array_equal(ours, expected)
    order = rng.permutation(len(ids))
    shuffled = run(network, [ids[row] for row in order], [segments[row] for row in order])
    for row, ours in zip(order, shuffled, strict=True):
        assert np.array_equal(ours, alone[row])


def test_instruction_sets_agree() -> None:
    weights = transformer(SHAPES["MiniLM's head"], "int8")
    ids, segments = texts(LENGTHS)
    found = [run(native.open_native(weights, segments=True, kernels=name), ids, segments) for name in native.kernels()]
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            assert cosine(ours, theirs) > 0.9998


@pytest.mark.skipif(not native.kernels(), reason="no kernels were built")
def test_threads_share_a_network() -> None:
    network = native.open_native(transformer(SHAPES["MiniLM's head"], "int8"), segments=True)
    ids, segments = texts([40] * 64)
    expected = [run(network, [one], [kind])[0] for one, kind in zip(ids, segments, strict=True)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: run(network, [ids[row]], [segments[row]])[0], range(64)))
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.skipif(not native.kernels(), reason="no kernels were built")
@pytest.mark.parametrize(
    ("ids", "segments", "message"),
    [
        ([[50]], [[0]], "no row for"),
        ([[-1]], [[0]], "no row for"),
        ([[1]], [[2]], "no row for"),
        ([[1] * 201], [[0] * 201], "more tokens"),
    ],
)
def test_what_the_weights_cannot_take_is_an_error(
    ids: list[list[int]], segments: list[list[int]], message: str
) -> None:
    network = native.open_native(transformer(Shape()), segments=True)
    with pytest.raises(BadInput, match=message):
        network(np.array(ids), np.array(segments))


@pytest.mark.skipif(not native.kernels(), reason="no kernels were built")
def test_the_setting_chooses_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.SETTING, native.kernels()[-1])
    assert native.chosen() == native.kernels()[-1]
    monkeypatch.setenv(native.SETTING, "fast")
    with pytest.raises(BadInput, match=r"RETR_KERNELS is 'fast'; this machine has .*, scalar, and 'off' uses none"):
        native.chosen()


@pytest.mark.parametrize("name", ["off", "scalar"])
def test_kernels_that_late_interaction_alone_has_leave_the_encoder_to_onnxruntime(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(native.SETTING, name)
    assert native.chosen() == ""


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_without_kernels_onnxruntime_gives_the_same(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    weights = transformer(SHAPES["MiniLM's head"], precision)
    monkeypatch.setenv(native.SETTING, "off")
    network, runtime = open_transformer(weights, segments=True)
    assert isinstance(network, OnnxNetwork)
    assert runtime.startswith("onnxruntime, ")
    ids, segments = texts([30])
    [twin] = forward(weights, ids, segments)
    [found] = network(ids[0][None], segments[0][None])
    assert np.abs(found - twin).max() < (2e-5 if precision == "float32" else 0.1)


ROWS = [37, 5, 17, 1, 66, 9]


@pytest.mark.parametrize("precision", ["float32", "mixed", "int8"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES.values() if not shape.relative])
@pytest.mark.parametrize("kernels", [*native.kernels(), "off"])
def test_rows_of_a_context_and_candidates_are_those_of_the_numpy_twin(
    monkeypatch: pytest.MonkeyPatch, kernels: str, shape: Shape, precision: str
) -> None:
    weights, (ids, _) = transformer(shape, precision), texts(ROWS)
    segments = [np.full_like(one, int(shape.types and number > 0)) for number, one in enumerate(ids)]
    monkeypatch.setenv(native.SETTING, kernels)
    network, runtime = open_rows(weights)
    assert isinstance(network, OnnxRows if kernels == "off" else NativeRows)
    assert runtime.startswith("onnxruntime, " if kernels == "off" else "retr's kernels, ")
    bound = 0.15 if kernels == "off" and precision != "float32" else close(kernels, precision)
    for mask, positions in itertools.product(("arrow", "one_way"), ("shared", "unique")):
        twin = row_twin(weights, ids, segments, mask, positions)[ROWS[0] :]
        found = network.together(ids, mask, positions)  # type: ignore[arg-type]
        assert np.abs(found - twin).max() < bound
        assert cosine(found, twin) > (1 - 1e-6 if precision == "float32" else 0.999)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("kernels", native.kernels())
def test_a_candidate_after_a_kept_context_is_the_same_bits_whatever_stands_beside_it(
    kernels: str, precision: str
) -> None:
    weights, (ids, _) = transformer(SHAPES["MiniLM's head"], precision), texts(ROWS)
    network = NativeRows(RowKernels(native.open_native(weights, segments=True, kernels=kernels), len(weights.layers)))
    context = network.read(ids[0])
    assert context.kept is not None
    assert context.kept.shape == (2, ROWS[0], 128)
    alone = np.concatenate([network.after(context, [one]) for one in ids[1:]])
    assert np.array_equal(network.after(context, ids[1:]), alone)
    assert np.array_equal(network.together(ids, "one_way", "shared"), alone)
    arrow = network.together(ids, "arrow", "shared")
    assert not np.allclose(arrow, alone, atol=0.1)


@pytest.mark.skipif(not native.kernels(), reason="no kernels were built")
def test_rows_that_the_weights_cannot_take_are_errors() -> None:
    network, _ = open_rows(transformer(Shape()))
    with pytest.raises(BadInput, match="no row for"):
        network.together([np.array([1, 2]), np.array([WORDS])], "arrow", "shared")
    with pytest.raises(BadInput, match="more tokens"):
        network.together([np.ones(POSITIONS, int), np.array([1])], "arrow", "shared")
    with pytest.raises(BadInput, match="relative position"):
        open_rows(transformer(SHAPES["relative"]))


# Outside of Python

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "encoders" / "kernels"
SANITIZED = ("g++", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
ARM = ("aarch64-linux-gnu-g++", "-static")
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64") or ""

needs_sanitizer = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
needs_arm = pytest.mark.skipif(
    not EMULATOR or shutil.which(ARM[0]) is None, reason="no aarch64-linux-gnu-g++ and qemu-aarch64"
)


def build(compiler: tuple[str, ...], out: Path) -> Path:
    """The driver with all kernels, which Python's headers are not needed for."""
    sources = [str(HERE / "kernels_driver.cpp"), *(str(path) for path in sorted(KERNELS.glob("*.cpp")))]
    command = [*compiler, "-std=c++17", "-O1", "-DWITHOUT_PYTHON", f"-I{KERNELS}", *sources, "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SANITIZED, tmp_path_factory.mktemp("sanitized") / "driver")


@pytest.fixture(scope="module")
def for_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ARM, tmp_path_factory.mktemp("arm") / "driver")


def check(command: list[str], shape: Shape, precision: str, folder: Path) -> list[str]:
    """The kernels that ran, each of which gave the twin's states."""
    weights = transformer(shape, precision)
    ids, segments = texts(DRIVEN)
    if not shape.types:
        segments = [np.zeros_like(one) for one in segments]
    write_for_driver(folder / "in", weights, ids, segments)
    given = [*command, str(folder / "in"), str(folder / "out")]
    done = subprocess.run(given, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    names = done.stdout.split()
    twins = [np.concatenate(forward(weights, ids, segments))]
    if not shape.relative:
        twins += [row_twin(weights, ids, segments, mask) for mask in ("arrow", "one_way")]
    found = np.fromfile(folder / "out", np.float32).reshape(len(names), *np.stack(twins).shape)
    for name, runs in zip(names, found, strict=True):
        for states, twin in zip(runs, twins, strict=True):
            assert np.abs(states - twin).max() < close(name, precision), name
    return names


@pytest.mark.slow
@needs_sanitizer
@pytest.mark.parametrize("precision", ["float32", "mixed", "int8"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_no_kernel_reads_or_writes_beyond_its_memory(
    sanitized: Path, shape: Shape, precision: str, tmp_path: Path
) -> None:
    assert check([str(sanitized)], shape, precision, tmp_path)


@needs_arm
@pytest.mark.parametrize("precision", ["float32", "mixed", "int8"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_arm_gives_the_same(for_arm: Path, shape: Shape, precision: str, tmp_path: Path) -> None:
    assert check([EMULATOR, str(for_arm)], shape, precision, tmp_path) == ["neon-dot", "neon"]
