"""The version of retr, for those who may not import the package as a whole."""

VERSION = "0.1.0"
