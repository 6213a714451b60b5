"""The stages as Dagster shows them: assets, checks, jobs, sensors and schedules.

Belongs here: all that imports Dagster, for our own deployment and for other projects, loaded only
where it is wanted. `unattended` holds what runs by itself, `operating` the instance and its
processes. Does not: what a stage does.
"""
