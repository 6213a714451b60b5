"""What `dg` loads: everything in `defs`, and the lab's own executor and resource."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    project = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    # The lab's own: a resource of the same name as one of ours, and a process for each step.
    own = dg.Definitions(
        resources={"pipeline": "the lab's segmentation, version 3"},
        executor=dg.multiprocess_executor.configured({"max_concurrent": 1}),
    )
    return dg.Definitions.merge(project, own)
