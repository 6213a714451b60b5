"""SynDB over HTTP: one client, its addresses, answers, bodies, retries and files.

Belongs here: the wire format of the REST contract. Does not: plans, approvals or journals.
"""
