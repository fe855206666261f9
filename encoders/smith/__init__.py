"""SMITH: long documents as blocks of sentences, encoded one by one and then together (Yang et al. 2020)."""
