"""This project's own deployment: `dagster dev -m dagster_defs`, `dg dev` and `workspace.yaml` load
`defs` from here.

Belongs here: that name. Does not: anything else, which is in `syndb_pipeline.orchestration`.
"""

from syndb_pipeline.orchestration.operating.location import defs

__all__ = ["defs"]
