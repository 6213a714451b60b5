"""The SynDB node that comes with the pipeline: a folder on this machine.

Belongs here: its tables, files and ownership. Does not: HTTP.
"""
