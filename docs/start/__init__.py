"""How docs/start.md is made: the commands of each way are really run in an empty folder, and the page
is written from what they printed.

Belongs here: the ways, running them, and the page's template. Does not: anything the pipeline needs
to run.
"""
