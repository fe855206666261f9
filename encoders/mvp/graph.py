"""T5's encoder as an ONNX graph that gives the views alone, for texts of exactly equal length: no padding, no mask.

Input `input_ids` [texts, tokens]; output [texts, views, dim]. In the last layer only the views' tokens ask.
"""

from dataclasses import dataclass

from retr.encoders.graphs.graph import BuiltModel, Graph
from retr.encoders.graphs.transformer import relative_bias
from retr.encoders.mvp.weights import T5, Attention, Feed
from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What every layer of one graph shares; `bias` is [1, heads, tokens, tokens]."""

    graph: Graph
    t5: T5
    bias: str


def build_views(t5: T5, views: int, tokens: int) -> BuiltModel:
    """The ONNX file for texts of at most `tokens` tokens, of which the first `views` are kept."""
    graph = Graph()
    x = graph.add("Gather", graph.constant(t5.words), "input_ids")
    parts = _Parts(graph, t5, relative_bias(graph, t5.by_distance(tokens)))
    for block in t5.encoder[:-1]:
        x = _feed(parts, _attend(parts, x, block.attention), block.feed)
    last = t5.encoder[-1]
    x = _feed(parts, _attend(parts, x, last.attention, views), last.feed)
    return graph.model(["input_ids"], _norm(parts, x, t5.encoder_norm), int(t5.words.shape[1]))


def _attend(parts: _Parts, x: str, attention: Attention, views: int = 0) -> str:
    """With `views` the first so many tokens alone ask, and are all that is left."""
    graph, bias, asking = parts.graph, parts.bias, x
    normed = asked = _norm(parts, x, attention.norm)
    if views:
        asking, asked = _first(graph, x, views, 1), _first(graph, normed, views, 1)
        bias = _first(graph, bias, views, 2)
    query = graph.add("MatMul", asked, graph.constant(attention.query))
    key, value = (graph.add("MatMul", normed, graph.constant(one)) for one in (attention.key, attention.value))
    kind = "com.microsoft:MultiHeadAttention"
    mixed = graph.add(kind, query, key, value, "", "", bias, num_heads=parts.t5.heads, scale=1.0)
    return graph.add("Add", asking, graph.add("MatMul", mixed, graph.constant(attention.out)))


def _feed(parts: _Parts, x: str, feed: Feed) -> str:
    graph = parts.graph
    normed = _norm(parts, x, feed.norm)
    products = [graph.add("MatMul", normed, graph.constant(one)) for one in feed.up]
    gelu = parts.t5.activation.endswith("gelu")
    wide = graph.add("com.microsoft:FastGelu", products[0]) if gelu else graph.add("Relu", products[0])
    if len(products) > 1:
        wide = graph.add("Mul", wide, products[1])
    return graph.add("Add", x, graph.add("MatMul", wide, graph.constant(feed.down)))


def _norm(parts: _Parts, x: str, weight: Floats) -> str:
    scale = parts.graph.constant(weight)
    return parts.graph.add("SimplifiedLayerNormalization", x, scale, axis=-1, epsilon=parts.t5.epsilon)


def _first(graph: Graph, x: str, count: int, axis: int) -> str:
    ends = (graph.constant([value], "int64") for value in (0, count, axis))
    return graph.add("Slice", x, *ends)
