"""Delimited text files: encodings, separators, line ends, and their rows as text.

Belongs here: csv, tsv and txt. Does not: casts into SynDB's types.
"""
