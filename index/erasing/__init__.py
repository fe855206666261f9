"""The proof that what was deleted is in no file."""
