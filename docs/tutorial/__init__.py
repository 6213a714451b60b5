"""How docs/tutorial.md is made: three dirty sets are really taken from `init` to ACCEPTED, and the
page is written from what was printed.

Belongs here: the walks, their pictures and the page's template. Does not: anything the pipeline
needs to run.
"""
