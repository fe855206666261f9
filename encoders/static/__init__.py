"""Static embeddings: a vector for each word of a vocabulary, looked up and averaged; nothing is computed but that."""
