"""Checks of single cells and columns: types, ranges, vocabularies, markers for "no value".

Belongs here: what one cell or one column shows. Does not: keys and references.
"""
