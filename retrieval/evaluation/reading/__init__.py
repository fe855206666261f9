"""Test sets from files: tables of pairs, lists of candidates, questions with evidence, BEIR folders."""
