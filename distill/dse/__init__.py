"""Distilled Sentence Embedding (DSE): a cross-encoder's logits taught to a head over two sentences' vectors."""
