"""The work behind `syndb-pipeline init FOLDER`: a first dataset config for a folder of tables.

Belongs here: looking, guessing, and writing YAML with its open questions marked. Does not: reading
rows or checking them.
"""

from syndb_pipeline.scaffold.folder import InitReport, init

__all__ = ["InitReport", "init"]
