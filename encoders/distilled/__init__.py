"""Distilled Sentence Embedding (DSE), served without torch: a sentence's vector, and a head over pairs of vectors."""
