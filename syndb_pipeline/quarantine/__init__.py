"""`on_invalid: quarantine`: quarantining rows with errors, and the rows that depend on them.

Belongs here: which rows and how many may go. Does not: finding errors.
"""
