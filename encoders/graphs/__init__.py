"""ONNX graphs made from weights: the wire format, the graph in the making, and the transformer."""
