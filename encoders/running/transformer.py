"""A transformer's weights to a network: the compiled kernels where there are any, else ONNX Runtime."""

from retr.encoders.kernels import native
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.network import ONE_TEXT, TOKENS_A_RUN, Network, open_built


def open_transformer(weights: Transformer, *, segments: bool) -> tuple[Network, str]:
    """The network, and how it runs. Matrices with scales are multiplied in int8, the others in float32.

    `segments`: whether texts come in pairs, which need token types.
    """
    integers = any(linear.scale is not None for linear in weights.linears())
    kernels = native.chosen()
    if kernels and native.takes(weights):
        network = native.open_native(weights, segments=segments, kernels=kernels)
        return network, f"retr's kernels, {'int8' if integers else 'float32'}, on {kernels}"
    from retr.encoders.graphs.linears import int8_kind
    from retr.encoders.graphs.transformer import build

    linears = int8_kind() if integers else "float32"
    model = build(weights, linears=linears, segments=segments)
    return open_built(model, ONE_TEXT if integers else TOKENS_A_RUN), f"onnxruntime, {linears}"
