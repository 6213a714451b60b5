"""Wrong inputs for the rules on meshes and skeletons.

Belongs here: one input for each SYN-PATH rule. Does not: running them.
"""

from __future__ import annotations

from tests.meshes import ball_mesh, glb, small_mesh, triangle
from tests.wrong_inputs.wrong_input import Content, WrongInput


def _skeleton(code: str, lead: str, swc: str, *also: str) -> WrongInput:
    files: dict[str, Content] = {"neuron.csv": "cid,swc_path\nn1,n1.swc\n", "n1.swc": swc}
    return WrongInput(
        code,
        lead,
        files,
        "neuron.csv, row 2, column swc_path: 'n1.swc'",
        also=also,
    )


def _points() -> bytes:
    scene, binary = triangle()
    scene["meshes"][0]["primitives"][0]["mode"] = 0
    return glb(scene, binary)


FILES_BESIDE = (
    WrongInput(
        "SYN-PATH-001",
        "The folder has `meshes/n1.glb` and nothing for n2.",
        {
            "neuron.csv": "cid,mesh_path\nn1,meshes/n1.glb\nn2,meshes/n2.glb\n",
            "meshes/n1.glb": small_mesh(),
        },
        first="neuron.csv, row 3, column mesh_path: 'meshes/n2.glb'",
        fixed_by=1,
        unseen=frozenset({"meshes/n1.glb"}),
    ),
    WrongInput(
        "SYN-PATH-002",
        "A mesh in another format.",
        {
            "neuron.csv": "cid,mesh_path\nn1,meshes/n1.obj\n",
            "meshes/n1.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        },
        first="neuron.csv, row 2, column mesh_path: 'meshes/n1.obj'",
        unseen=frozenset({"meshes/n1.obj"}),
    ),
    WrongInput(
        "SYN-PATH-003",
        "An .obj file that was renamed to `n1.glb`.",
        {
            "neuron.csv": "cid,mesh_path\nn1,n1.glb\n",
            "n1.glb": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        },
        first="neuron.csv, row 2, column mesh_path: 'n1.glb'",
    ),
    _skeleton(
        "SYN-PATH-004",
        "The last sample names a parent 9 that the file does not have.",
        "1 1 48000 32000 16000 3500 -1\n2 3 48900 32100 16000 400 1\n3 3 49700 32400 16100 380 9\n",
    ),
    _skeleton(
        "SYN-PATH-005",
        "Two samples have the parent -1.",
        "1 1 48000 32000 16000 3500 -1\n2 3 48900 32100 16000 400 1\n3 2 60000 32400 16100 90 -1\n4"
        " 2 60400 32500 16100 90 3\n",
    ),
    _skeleton(
        "SYN-PATH-006",
        "Sample 3 is at the position of its parent 2, with the same radius.",
        "1 1 48000 32000 16000 3500 -1\n2 3 48900 32100 16000 400 1\n3 3 48900 32100 16000 400 2\n",
    ),
    _skeleton(
        "SYN-PATH-007",
        "This program writes -1 where it measured no radius.",
        "1 1 48000 32000 16000 3500 -1\n2 3 48900 32100 16000 -1 1\n",
    ),
    WrongInput(
        "SYN-PATH-008",
        "A cloud of points, saved as .glb.",
        {"neuron.csv": "cid,mesh_path\nn1,n1.glb\n", "n1.glb": _points()},
        first="neuron.csv, row 2, column mesh_path: 'n1.glb'",
        unseen=frozenset({"n1.glb"}),
    ),
    WrongInput(
        "SYN-PATH-009",
        "A ball of 2 micrometres whose mesh is in metres, and its row in nanometres.",
        {
            "neuron.csv": "cid,mesh_volume,mesh_path\nn1,4090000000,n1.glb\n",
            "n1.glb": ball_mesh((0, 0, 0), 1_000, 1e-9),
        },
        first="neuron.csv, row 2, column mesh_path: 'n1.glb'",
        unseen=frozenset({"n1.glb"}),
    ),
    WrongInput(
        "SYN-PATH-010",
        "An older mesh of n1 was left beside the YAML.",
        {
            "tables/neuron.csv": "cid,mesh_path\nn1,n1.glb\n",
            "tables/n1.glb": small_mesh(),
            "n1.glb": small_mesh("older"),
        },
        tables={"neuron": "tables/neuron.csv"},
        first="tables/neuron.csv, row 2, column mesh_path: 'n1.glb'",
        unseen=frozenset({"tables/n1.glb", "n1.glb"}),
    ),
)
