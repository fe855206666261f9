"""The folder on disk: its files, locks, generations by name, and the checks that they are what was written."""
