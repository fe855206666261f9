"""Decoders as embedders: causal or bidirectional, pooled by a rule or by layers that learned to."""
