"""Checks of keys: duplicate, damaged, rounded or oddly spelled ids.

Belongs here: the key of a row and what a program did to it. Does not: which row a reference names.
"""
