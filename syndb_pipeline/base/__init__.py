"""What every other room rests on and that knows nothing of SynDB.

Belongs here: errors and exit codes, progress, digests, the DuckDB engine, Parquet footers, the tar
stream, escaping of text. Does not: tables, rules or stages.
"""
