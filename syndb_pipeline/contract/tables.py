"""SynDB's eleven tables, each declared once.

Belongs here: columns, types, units, bounds, relations and levels as SynDB publishes them. Does not:
SQL, pandera or files.

Sources, named in `Column.source`: **C15** syndb-constants 0.15.0 `schema.py` (the last complete
column lists), **C17** syndb-constants 0.17.0 (names and hierarchy), **G** SynDB's contributors'
guide, **R** a rule of this project where no source speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from syndb_constants.table import (
    COMPARTMENT_HIERARCHY,
    compartment_to_valid_parents,
    syndb_table_to_name,
)

ENDS: Final = ("pre_synapse_id", "post_synapse_id")
"""The columns of a synapse, or of a relation, that name what is before its cleft and behind it."""

INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1


class Kind(StrEnum):
    """What a column holds, and so how it is read, checked and published."""

    KEY = "key"  # the lab's own key of the row; published as the row's UUID
    REFERENCE = "reference"  # the key of another row; published as that row's UUID
    NUMBER = "number"  # double
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    PATH = "path"  # a file beside the table; never in the table that is sent


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a SynDB table.

    `dimension` is the power of nanometres its values carry (1 length, 2 area, 3 volume, -1 per
    length), None when it has no unit. `minimum`/`maximum` are inclusive unless `exclusive_minimum`.
    `published` columns go into the package; the others serve checks only.
    """

    name: str
    kind: Kind
    description: str
    source: str = "C15"
    dimension: int | None = None
    minimum: float | None = None
    exclusive_minimum: bool = False
    maximum: float | None = None
    vocabulary: str | None = None
    max_length: int | None = None
    targets: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    required: bool = False
    published: bool = True
    wire: str = ""  # SQL type in the package; by kind when empty
    suffix: str | None = None  # of a PATH's file

    @property
    def unit(self) -> str:
        """The unit SynDB wants: nm, nm2, nm3, 1/nm, or "" for none."""
        return {None: "", 1: "nm", 2: "nm2", 3: "nm3", -1: "1/nm"}[self.dimension]

    @property
    def sql_type(self) -> str:
        """The DuckDB type of the column while it travels through the stages."""
        return SQL_TYPES[self.kind]

    @property
    def wire_type(self) -> str:
        """The DuckDB type of the column in the package."""
        return self.wire or _WIRE_TYPES[self.kind]

    @property
    def bounds(self) -> str:
        """The allowed range in words, e.g. "> 0", ">= 0", "in (0, 1]"; "" when any finite value is
        allowed.
        """
        if self.minimum is None:
            return ""
        if self.maximum is None or self.maximum == INT32_MAX:
            return f"{'>' if self.exclusive_minimum else '>='} {self.minimum:g}"
        return f"in {'(' if self.exclusive_minimum else '['}{self.minimum:g}, {self.maximum:g}]"

    def allows(self, number: float) -> bool:
        """Whether `number` is in the allowed range."""
        above = self.minimum is None or (
            number > self.minimum if self.exclusive_minimum else number >= self.minimum
        )
        return above and (self.maximum is None or number <= self.maximum)


SQL_TYPES: Final = {
    Kind.KEY: "VARCHAR",
    Kind.REFERENCE: "VARCHAR",
    Kind.NUMBER: "DOUBLE",
    Kind.INTEGER: "BIGINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TEXT: "VARCHAR",
    Kind.PATH: "VARCHAR",
}
"""The DuckDB type of each kind of column while it travels through the stages."""

_WIRE_TYPES: Final = SQL_TYPES | {Kind.KEY: "UUID", Kind.REFERENCE: "UUID", Kind.INTEGER: "INTEGER"}


@dataclass(frozen=True, slots=True)
class Table:
    """One SynDB table: its code on the wire, its level in the hierarchy (0 is the top) and its
    columns by name.
    """

    name: str
    code: int
    level: int
    parents: tuple[str, ...]  # valid parent tables, nearest level first
    columns: dict[str, Column] = field(default_factory=dict)
    pair: tuple[str, str] | None = None  # the two columns that identify a row instead of `cid`

    @property
    def has_parent(self) -> bool:
        return "parent_id" in self.columns

    @property
    def reached_by_ends(self) -> bool:
        """Whether its rows may reach their neuron by either end instead of a parent."""
        return self.pair is None and ENDS[0] in self.columns

    @property
    def needs_parent(self) -> bool:
        return self.has_parent and not self.reached_by_ends

    @property
    def references(self) -> dict[str, Column]:
        """The REFERENCE columns, `parent_id` and `neuron_id` among them."""
        return {
            name: column for name, column in self.columns.items() if column.kind is Kind.REFERENCE
        }

    @property
    def published(self) -> dict[str, str]:
        """The columns SynDB takes for this table, in order, with the DuckDB type each has in the
        package (`cid` first, as UUID).
        """
        return {
            name: column.wire_type
            for name, column in self.columns.items()
            if column.published and column.kind is not Kind.PATH
        }

    def column(self, name: str) -> Column | None:
        """The column called `name`, or that SynDB once called `name`; None when there is none."""
        if name in self.columns:
            return self.columns[name]
        return next((column for column in self.columns.values() if name in column.aliases), None)


SERVER_COLUMNS: Final = frozenset({"dataset_id", "s3_mesh_location", "s3_swb_location"})
"""Columns that the server fills; a package that holds one is refused (C15, and the server's upload
route).
"""

GENERATION_2: Final = {
    "neuron": frozenset(
        {"name", "brain_structure", "species", "majority_neurotransmitter"}
        | {"cell_type", "cell_class", "cell_subclass"}
        | {"gaba_avg", "acetylcholine_avg", "glutamate_avg", "octopamine_avg"}
        | {"serotonin_avg", "dopamine_avg", "tyramine_avg", "betaine_avg"}
        | {"surface_area", "max_axis_length", "volume"}
    )
}
"""Columns by table that SynDB's `/v1` has and its REST contract 0.7.2 has not, as far as SynDB's
documentation site shows them (retrieved 2026-11-30).
"""

PUBLISHED_RELATION_COLUMNS: Final = ("parent_id", "parent_enum", "neuron_id")


def _number(name: str, description: str, **more: object) -> Column:
    return Column(name, Kind.NUMBER, description, **more)  # type: ignore[arg-type]


def _count(name: str, description: str, source: str = "C15") -> Column:
    return Column(name, Kind.INTEGER, description, source, minimum=0, maximum=INT32_MAX)


def _positive(name: str, description: str, dimension: int | None, source: str = "C15") -> Column:
    return _number(
        name, description, source=source, dimension=dimension, minimum=0, exclusive_minimum=True
    )


KEY: Final = Column(
    "cid", Kind.KEY, "The lab's own key of the row: any text, unique in its table.", required=True
)

_CENTROID: Final = tuple(
    _number(
        f"centroid_{axis}",
        f"{axis} of the centre, in nanometres from the volume's origin.",
        dimension=1,
    )
    for axis in "zxy"
)
_SHAPE: Final = (
    _positive("voxel_volume", "Volume counted from voxels.", 3),
    _positive("voxel_radius", "Radius estimated from voxels.", 1),
    _positive("mesh_volume", "Volume enclosed by the mesh.", 3),
    _positive("mesh_surface_area", "Surface area of the mesh.", 2),
    _positive("mesh_area_volume_ratio", "mesh_surface_area / mesh_volume.", -1),
    _number(
        "mesh_sphericity",
        "Surface of a sphere of the same volume / mesh_surface_area.",
        minimum=0,
        exclusive_minimum=True,
        maximum=1,
    ),
    *_CENTROID,
    Column(
        "mesh_path",
        Kind.PATH,
        "The row's mesh, a .glb file.",
        "C17, G",
        published=False,
        suffix=".glb",
    ),
)
_SWC: Final = Column(
    "swc_path",
    Kind.PATH,
    "The row's skeleton, a .swc file.",
    "C17, G",
    published=False,
    suffix=".swc",
    aliases=("swb_path",),
)


_PARENT: Final = (
    Column("parent_id", Kind.REFERENCE, "`cid` of the row this one is part of."),
    Column(
        "parent_enum",
        Kind.INTEGER,
        "Code of the parent's table; follows from the relation, so it may be left out.",
    ),
    Column(
        "neuron_id",
        Kind.REFERENCE,
        "`cid` of the neuron at the root; follows from the relation.",
        targets=("neuron",),
    ),
)


def _score(name: str, *aliases: str) -> Column:
    return _number(
        name,
        f"Predicted probability that the synapse releases {name}.",
        source="C15; bounds R",
        minimum=0,
        maximum=1,
        aliases=aliases,
    )


_SENDING_ENDS: Final = ("pre_synaptic_terminal", "dendritic_spine", "axon", "dendrite", "neuron")
_RECEIVING_ENDS: Final = ("dendritic_spine", "pre_synaptic_terminal", "dendrite", "axon", "neuron")


def _end(name: str, description: str, source: str, *targets: str, required: bool = False) -> Column:
    return Column(
        name,
        Kind.REFERENCE,
        description,
        source,
        targets=targets,
        aliases=(name.replace("_synapse", ""),),
        required=required,
    )


_FORMS: Final = Column(
    "forms_synapse_with",
    Kind.REFERENCE,
    "`cid` of the synapse the row takes part in.",
    targets=("synapse",),
)
_TOTAL_MITOCHONDRIA: Final = _number(
    "total_mitochondria_volume", "Summed volume of its mitochondria.", dimension=3, minimum=0
)
_CONNECTION_SCORE: Final = _number(
    "connection_score", "Strength or confidence of the connection; the lab says which in the notes."
)

_SPECIFIC: Final[dict[str, tuple[Column, ...]]] = {
    "neuron": (
        Column("polarity", Kind.TEXT, "Polarity of the neuron.", vocabulary="polarity"),
        Column(
            "neuron_type", Kind.TEXT, "Type of the neuron.", "C17; type R", vocabulary="neuron_type"
        ),
        _positive("cable_length", "Length of the whole skeleton.", 1, "C17; type R"),
        Column("bounding_box", Kind.TEXT, "Bounding box, as the lab writes it.", "C17; type R"),
        Column("is_tree", Kind.BOOLEAN, "Whether the skeleton is one tree.", "C17; type R"),
        _count("n_branches", "Branches of the skeleton.", "C17; type R"),
        _count("n_skeletons", "Skeletons of the neuron.", "C17; type R"),
        _count("n_trees", "Trees of the skeleton.", "C17; type R"),
        _SWC,
    ),
    "dendrite": (_count("dendritic_spine_count", "Spines on the dendrite."), _SWC),
    "axon": (
        _count("terminal_count", "Terminals on the axon."),
        _count("mitochondria_count", "Mitochondria in the axon."),
        _TOTAL_MITOCHONDRIA,
        _SWC,
    ),
    "pre_synaptic_terminal": (
        _count("vesicle_count", "Vesicles in the terminal."),
        _number("total_vesicle_volume", "Summed volume of its vesicles.", dimension=3, minimum=0),
        _count("mitochondria_count", "Mitochondria in the terminal."),
        _TOTAL_MITOCHONDRIA,
        _FORMS,
    ),
    "dendritic_spine": (_FORMS,),
    "synapse": (
        KEY,
        _CONNECTION_SCORE,
        _count("cleft_score", "Confidence that the cleft is one."),
        _score("gaba", "GABA"),
        _score("acetylcholine"),
        _score("glutamate"),
        _score("octopamine"),
        replace(
            _score("serine", "serotonin"),
            description="Predicted probability of serotonin; SynDB's published name is serine.",
        ),
        _score("dopamine"),
        Column("cave_id", Kind.INTEGER, "Id of the synapse in CAVE, 64 bit.", wire="BIGINT"),
        _end(
            "pre_synapse_id",
            "`cid` of the component before the cleft.",
            "C15, renamed in C17",
            *_SENDING_ENDS,
        ),
        _end(
            "post_synapse_id",
            "`cid` of the component after the cleft.",
            "C15, renamed in C17",
            *_RECEIVING_ENDS,
        ),
        # SynDB publishes neither for a synapse; the hierarchy (G) still gives it parents, and labs
        # measure where it is.
        Column(
            "parent_id",
            Kind.REFERENCE,
            "`cid` of the row this synapse is part of.",
            "G",
            published=False,
        ),
        *(replace(column, published=False, source="R") for column in _CENTROID),
    ),
    "vesicle": (
        Column(
            "neurotransmitter",
            Kind.TEXT,
            "What the vesicle holds.",
            vocabulary="neurotransmitter",
            max_length=65,
        ),
        _number("distance_to_active_zone", "Distance to the active zone.", dimension=1, minimum=0),
        replace(
            _count(
                "minimum_normal_length", "Shortest normal to the membrane, in whole nanometres."
            ),
            dimension=1,
        ),
    ),
    "mitochondria": (),
    "endoplasmic_reticulum": (_count("ribosome_count", "Ribosomes on it."),),
    "nucleus": (),
    "neuron_relation": (
        replace(
            KEY,
            required=False,
            published=False,
            description="The lab's own key of the row; SynDB identifies it by its pair.",
        ),
        _end("pre_synapse_id", "`cid` of the sending neuron.", "C17", "neuron", required=True),
        _end("post_synapse_id", "`cid` of the receiving neuron.", "C17", "neuron", required=True),
        replace(_CONNECTION_SCORE, source="R"),
    ),
}


def _declare() -> dict[str, Table]:
    """The tables, of which those that do not name their key have it, and every column of shape."""
    tables: dict[str, Table] = {}
    for level, members in enumerate(COMPARTMENT_HIERARCHY):
        for member in members:
            name = syndb_table_to_name[member]
            parents = tuple(
                syndb_table_to_name[each] for each in compartment_to_valid_parents[member]
            )
            columns = _SPECIFIC[name]
            if KEY.name not in {column.name for column in columns}:
                columns = (KEY, *columns, *_SHAPE, *(_PARENT if level else ()))
            tables[name] = Table(
                name,
                int(member),
                level,
                parents,
                {
                    each.name: replace(each, targets=parents) if each.name == "parent_id" else each
                    for each in columns
                },
                None if columns[0].required else ENDS,
            )
    return tables


TABLES: Final[dict[str, Table]] = _declare()
"""SynDB's tables by name, top level first (`syndb_constants.table.COMPARTMENT_HIERARCHY`)."""

TABLE_ORDER: Final[tuple[str, ...]] = tuple(TABLES)

ROOT: Final = TABLE_ORDER[0]
"""The table at the top of the hierarchy, neuron."""

BY_ENDS: Final = next(name for name, table in TABLES.items() if table.reached_by_ends)
"""The table whose rows may reach their neuron by either end, synapse."""


def ordered(names: object) -> list[str]:
    """`names` (any iterable of table names) in hierarchy order, parents before children."""
    chosen = set(names)  # type: ignore[call-overload]
    return [name for name in TABLE_ORDER if name in chosen]


@dataclass(frozen=True, slots=True)
class Declared:
    """A column of a parent that states what its children are: their number, or the sum of the first
    of `volumes` that they have.
    """

    table: str
    column: str
    child: str
    volumes: tuple[str, ...] = ()


_VOLUMES: Final = ("voxel_volume", "mesh_volume")

DECLARED: Final[tuple[Declared, ...]] = (
    Declared("dendrite", "dendritic_spine_count", "dendritic_spine"),
    Declared("axon", "terminal_count", "pre_synaptic_terminal"),
    Declared("axon", "mitochondria_count", "mitochondria"),
    Declared("axon", "total_mitochondria_volume", "mitochondria", _VOLUMES),
    Declared("pre_synaptic_terminal", "vesicle_count", "vesicle"),
    Declared("pre_synaptic_terminal", "total_vesicle_volume", "vesicle", _VOLUMES),
    Declared("pre_synaptic_terminal", "mitochondria_count", "mitochondria"),
    Declared("pre_synaptic_terminal", "total_mitochondria_volume", "mitochondria", _VOLUMES),
)
"""Which declared counts and totals can be held against child rows (column meanings: G)."""
