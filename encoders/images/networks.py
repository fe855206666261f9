"""The names within a model of images and texts as two ONNX networks: what writes them and what reads them agree."""

NETWORK = "onnx/model.onnx"
"""Within the folder of each tower."""
IMAGES_IN, TEXTS_IN, VECTORS = "pixel_values", "input_ids", "vectors"
"""Inputs and the output of the two networks."""
IMAGE, TEXT, KIND = "image", "text", "filip"
"""The towers' folders, and the table of retr.json."""
