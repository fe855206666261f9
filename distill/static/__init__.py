"""The static student: a table of words distilled from any encoder."""
