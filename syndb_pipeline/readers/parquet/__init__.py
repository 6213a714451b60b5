"""Parquet files that another program wrote.

Belongs here: reading them, and refusing hostile ones. Does not: Parquet that the pipeline itself
wrote.
"""
