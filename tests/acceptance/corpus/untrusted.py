"""Files that nobody should have to trust: bombs, endless lines, devices, paths that lead elsewhere.

Belongs here: small files of these kinds, hung onto real sets. Does not: measuring time and memory.
"""

from __future__ import annotations

import gzip
import io
import zipfile

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import config, content, file, put, text, together
from tests.acceptance.corpus.lab import as_text

NEU, REL, SYN = "neuron", "neuron_relation", "synapse"


def _swollen(written: bytes) -> bytes:
    """A workbook whose sheet unpacks to 300 million bytes of blanks."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(written)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as sink,
    ):
        for name in source.namelist():
            told = source.read(name)
            if name.endswith("sheet1.xml"):
                head, mark, rest = told.partition(b"<sheetData>")
                with sink.open(name, "w") as member:
                    member.write(head + mark)
                    for _ in range(300):
                        member.write(b" " * 1_000_000)
                    member.write(rest)
            else:
                sink.writestr(name, told)
    return target.getvalue()


CASES: tuple[Case, ...] = (
    wrong(
        "a workbook that unpacks to a thousand times its size",
        "worm",
        content(NEU, _swollen),
        finds("SYN-READ-019", NEU),
    ),
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
        "a line of three megabytes",
        "larva",
        text(NEU, lambda written: written.replace("unk-PaN", "x" * 3_000_000, 1)),
        finds("SYN-READ-014", NEU, None, None, None, "line 4"),
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
    wrong(
        "a formula in a cell of a csv file, to be run by whoever opens it",
        "guide",
        put("axon", "voxel_volume", 2, '=HYPERLINK("http://example.org")'),
        finds("SYN-TYPE-001", "axon", "voxel_volume", 2, 1),
    ),
)
