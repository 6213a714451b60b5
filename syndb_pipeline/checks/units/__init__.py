"""Checks of magnitudes and places: units, voxels, mesh and skeleton files.

Belongs here: signs that lengths are not in nanometres. Does not: types or vocabularies.
"""
