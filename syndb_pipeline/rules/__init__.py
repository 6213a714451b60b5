"""The rules a dataset is held to: their catalogue, their pages, and the finding that names one.

Belongs here: what a rule is and says. Does not: checking it (`checks/`) or reporting it
(`report/`).
"""
