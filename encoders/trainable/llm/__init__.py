"""A decoder that learns: vectors in its one direction, the next token's probabilities in the other."""
