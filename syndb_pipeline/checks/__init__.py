"""What the stages ask of the data.

Belongs here: cells, rows, keys, references and units, each in a folder. Does not: the order of
stages or their records.
"""
