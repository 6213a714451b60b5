"""The seven stages, each a plain function from folders to a folder, findings and a record.

Belongs here: one module for each stage, and `runner.py`, which gives every stage the same crash safety and chain. Does not: Dagster, HTTP, command lines.
"""
