"""The HTTP server behind `retr serve`: thin wrappers of collections, encoders and scorers in other people's formats."""
