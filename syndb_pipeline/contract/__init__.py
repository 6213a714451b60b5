"""What SynDB takes: tables, vocabularies, licences and the pandera schema made from them.

Belongs here: facts about SynDB, declared once as data. Does not: how a file is read or a row is
related.
"""
