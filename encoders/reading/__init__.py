"""What a model folder holds: settings, weights, tokenizer, and where a hub keeps it."""
