"""What is wrong or worth knowing about a dataset, in words a lab person can act on.

Belongs here: findings, the catalogue of their codes, and their reports. Does not: finding them, which is the stages' work.
"""
