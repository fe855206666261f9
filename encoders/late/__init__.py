"""Late interaction: one vector a token, and scores by each query token's best match (ColBERT: arXiv 2004.12832)."""
