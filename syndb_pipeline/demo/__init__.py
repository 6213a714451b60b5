"""A small, complete lab to try the pipeline on: `write_demo` makes the files and the two configs.

Belongs here: invented but plausible data, and how they are written. Does not: anything the pipeline
itself needs.
"""

from syndb_pipeline.demo.writer import CLEAN_CONFIG, ERRORS_CONFIG, write_demo

__all__ = ["CLEAN_CONFIG", "ERRORS_CONFIG", "write_demo"]
