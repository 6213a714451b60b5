"""How fast the pipeline is and how much memory it takes, measured on invented datasets.

Belongs here: making large datasets and timing stages. Does not: anything the pipeline needs to run.
"""
