"""What the pipeline keeps between runs of one dataset: stage folders, records, row locations, the
lock.

Belongs here: crash-safe writing and the reuse of what is unchanged. Does not: what a stage
computes.
"""
