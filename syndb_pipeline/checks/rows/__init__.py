"""Checks of whole rows: which lines of a file are not data.

Belongs here: heads, labels and stray rows. Does not: single cells.
"""
