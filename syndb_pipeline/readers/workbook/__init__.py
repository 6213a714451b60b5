"""Workbooks (xlsx, xls): sheets, merged cells, and the limits on hostile archives.

Belongs here: spreadsheet formats. Does not: casts into SynDB's types.
"""
