"""What the findings of a dataset look like to a person or a program: terminal lines, JSON, CSV,
HTML, workbook.

Belongs here: reports and exports. Does not: finding what is wrong (`checks/`) or the rules
(`rules/`).
"""
