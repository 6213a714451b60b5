"""The fix-me workbook: a lab's own failing rows to correct, and corrected copies of its files from
what comes back.

Belongs here: writing the workbook, reading it back, merging into copies. Does not: finding what is
wrong (`stages/`), or any report.
"""
