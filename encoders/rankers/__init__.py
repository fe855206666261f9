"""Scorers that read a query and all of its candidates, without torch: Uni-Encoders and Poly-Encoders."""
