"""Checks of references: orphans, the table a column refers to, declared totals.

Belongs here: what one table says of the rows of another. Does not: keys by themselves.
"""
