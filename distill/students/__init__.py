"""Students of any kind, trained on what a teacher says of the rows: margins, distributions, or vectors."""
