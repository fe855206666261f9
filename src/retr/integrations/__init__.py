"""retr inside other people's frameworks: a folder each; importing one imports none of the frameworks."""
