"""Files that nobody should have to trust: bombs, endless lines, devices, paths that lead elsewhere.

Belongs here: small files of these kinds, hung onto real sets. Does not: measuring time and memory.
"""

from __future__ import annotations

import gzip

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import config, content, file, together
from tests.lab_files import as_text

NEU, REL, SYN = "neuron", "neuron_relation", "synapse"


CASES: tuple[Case, ...] = (
    wrong(
        "a gzip file that unpacks to a thousand times its size",
        "larva",
        together(
            file(NEU, "neuron.csv.gz", as_text()),
            content(NEU, lambda written: gzip.compress(written + b"0" * 400_000_000, 6)),
        ),
        finds("SYN-READ-019", NEU),
    ),
    wrong(
        "a device instead of a file",
        "larva",
        config(NEU, file="/dev/zero"),
        finds("SYN-READ-020", NEU),
    ),
    wrong(
        "a table in a folder that pipeline.yaml does not allow",
        "larva",
        together(
            config(NEU, file="../elsewhere/neuron.csv"),
            lambda lab: setattr(lab, "data_folders", ["tables"]),
        ),
        finds("SYN-READ-021", NEU, None, None, 1, "allowed|folders"),
    ),
)
