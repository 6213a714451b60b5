"""The seven stages, each a plain function from folders to a folder, findings and a record.

Belongs here: a module for each stage, and `runner.py`, which gives each the same crash safety and
chain. Does not: Dagster, HTTP, command lines.
"""
