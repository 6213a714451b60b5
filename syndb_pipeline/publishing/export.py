"""export: the accepted dataset as a folder of files, for SynDB's own command line and web page.

Belongs here: what goes into it beside the package, and when it may leave the machine. Does not: how
the folder is written (`destinations/folder/`), publishing into one as a destination.
"""

from __future__ import annotations

from syndb_pipeline.base.engine import literal, parquet, types_of
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.base.tar_stream import FilePayload, Payload
from syndb_pipeline.destinations.folder import Format, safe_place
from syndb_pipeline.destinations.folder.destination import ExportFolder
from syndb_pipeline.publishing.kept_tables import IDS
from syndb_pipeline.publishing.plan import Plan, require_access
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import written


def folder_at(
    context: Context, place: str, *, format: Format = "parquet", absolute: bool = False
) -> ExportFolder:
    """The folder of an export, as the destination whose plan is exported.

    Args:
        context: The dataset.
        place: A path, or an address in an object store.
        format: Of the tables.
        absolute: Whether tables name meshes and skeletons by their whole path.

    Raises:
        ConfigError: The address is of another kind, or holds a secret.
    """
    try:
        place = safe_place(place)
    except ValueError as error:
        raise ConfigError(f"--to: {error}.") from None
    settings = context.settings
    return ExportFolder(
        "export to files", place, settings, format=format, alone=True, absolute=absolute
    )


def export(
    context: Context,
    current: Plan,
    folder: ExportFolder,
    *,
    tar: bool = False,
    id_map: bool = False,
    watch: Watch = unwatched,
) -> bool:
    """Write an export, unless it is there already.

    Args:
        context: The dataset, which is held by the caller (`DatasetStore.lock`).
        current: Its plan for `folder`.
        folder: Where to.
        tar: Whether the tar of SynDB's REST interface 0.7.2 is put there too.
        id_map: Whether the lab's key of each row is.
        watch: Called with how far the writing is.

    Returns:
        Whether anything had to be written.

    Raises:
        ConfigError: Something else is in the folder.
        ApprovalError: It is in an object store, and the dataset is not for everyone yet.
        Unreachable: The object store cannot be used.
    """
    require_access(current, folder, context.config.path)
    more: dict[str, Payload] = {current.tar.name: current.payload} if tar else {}
    if id_map:
        more |= _id_maps(context, current)
    files = tuple(current.outgoing(context.config.folder))
    return folder.export(current.sent.model_copy(update={"files": files}), more, watch)


def _id_maps(context: Context, current: Plan) -> dict[str, FilePayload]:
    """The key and the UUID of each row that is packed, by the names of their files."""
    made = {}
    place = context.store.scratch / "id_map"
    place.mkdir(exist_ok=True)
    packed = current.table_files
    with context.duckdb() as connection:
        for table, ids in written(context, "assign_ids", IDS).items():
            if table in packed and "cid" in types_of(packed[table]):
                path = place / f"{table}.csv"
                query = (
                    f"SELECT key::VARCHAR AS key, cid FROM {parquet(ids)} SEMI JOIN"
                    f" {parquet(packed[table])} p USING (cid) ORDER BY key, cid"
                )
                connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT csv, HEADER)")
                made[f"id_map/{path.name}"] = FilePayload.of(path)
    return made
