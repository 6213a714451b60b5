"""Fix-me workbooks that a person gives back: what was changed in them becomes the dataset's
corrections.

Belongs here: reading the workbook back, adding to `corrections/<table>.csv`. Does not: writing the
workbook (`report/workbook/`), laying corrections over files (`readers/overlay.py`).
"""
