"""Trans-Encoder: a bi-encoder teaches a cross-encoder, which teaches a bi-encoder, over pairs without labels."""
