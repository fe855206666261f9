"""Training: batches, settings, the Lightning loop and its states, one job for every kind of student."""
