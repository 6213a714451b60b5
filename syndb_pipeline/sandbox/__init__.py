"""A local server with SynDB's published REST contract, to rehearse a publication before a byte
leaves the lab.

Belongs here: the server and what only it needs. Does not: the client of that contract
(`destinations/`).
"""
