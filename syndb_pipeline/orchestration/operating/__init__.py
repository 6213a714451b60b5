"""Dagster's instance and its processes: DAGSTER_HOME, runs of the command line, `up`, `prune`.

Belongs here: what a deployment of this package needs. Does not: definitions, which other projects
load into deployments of their own.
"""
