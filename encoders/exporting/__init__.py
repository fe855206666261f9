"""A model folder to one that is fast and portable, with the proof that it is the same model."""
