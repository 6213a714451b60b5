"""Every rule of the pipeline: its stable code, severity and sentences.

Belongs here: codes and words. Does not: the check that finds them. Templates may use {table} {file}
{column} {count}, the words of `finding.NUMBERED` that follow the count, and what the check gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["info", "hint", "warning", "error"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "hint", "warning", "error")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `fixed` rules stay errors whatever the config says: what they find would corrupt a
    dataset.
    """

    code: str
    title: str
    severity: Severity
    cause: str
    cure: str
    fixed: bool = False


def _rules(*rules: Rule) -> dict[str, Rule]:
    return {rule.code: rule for rule in rules}


# One rule a line, so that the catalogue reads as the table it is.
# fmt: off
RULES: Final[dict[str, Rule]] = _rules(
    # -- reading the files (ingest)
    Rule("SYN-READ-001", "File not found", "error", "{table}: {file} does not exist or matches no file.", "{advice}", True),
    Rule("SYN-READ-002", "Line with too many or too few values", "error", "{count} line{s} of {file} {do} not have the {expected} values {announced}.", "{advice}", True),
    Rule("SYN-READ-003", "Unreadable bytes", "error", "{file} is not {encoding} text: {reason}.", "{advice}", True),
    Rule("SYN-READ-004", "Column name stands twice", "error", "{file} has {times} columns called {column!r}.", "Rename or remove one of them in the file.", True),
    Rule("SYN-READ-005", "Column without a name", "error", "Column{s} {positions} of {file} {have} no name in the header.", "Name every column in the file, e.g. cid for the key of the row.{naming} If SynDB is not to have columns without a name: `tables.{table}.ignore: [{ignoring}]`.", True),
    Rule("SYN-READ-006", "No header row", "error", "{file} has no column names where its header should be: {first!r}.", "{advice}", True),
    Rule("SYN-READ-007", "Which sheet?", "error", "{file} has {count} sheets: {sheets}.", "Say which, e.g. `tables.{table}.sheet: {example}`.", True),
    Rule("SYN-READ-008", "Merged header cells", "error", "The header of {file} has merged cells ({ranges}), so it does not name each column.", "{advice}", True),
    Rule("SYN-READ-009", "Sheet not found", "error", "{file} has no sheet {sheet!r}; it has {sheets}.", "{advice}", True),
    Rule("SYN-READ-010", "Spreadsheet error in a cell", "error", "{count} cell{s} of {file} hold{verb_s} a spreadsheet error such as {value!r}.", "Correct the formula and save the workbook again.", True),
    Rule("SYN-READ-011", "Blank lines", "hint", "{count} blank line{s} of {file} hold{verb_s} no row and {were} passed over.", "Nothing to do; remove {them} to silence this."),
    Rule("SYN-READ-012", "Files of one table differ", "error", "{file} has other columns than {other}: {difference}.", "Give all files of one table the same columns.", True),
    Rule("SYN-READ-013", "No rows", "warning", "{file} has a header and no rows.", "If the table is truly empty, remove it from the config; otherwise export it again."),
    Rule("SYN-READ-014", "File cannot be read", "error", "{file} cannot be read: {reason}.", "{advice}", True),
    Rule("SYN-READ-015", "Quotation mark without end", "error", "{count} value{s} of {file} open{verb_s} with a quotation mark that is not closed properly.", "Double quotation marks inside quoted values, or remove stray ones.", True),
    Rule("SYN-READ-016", "Formula without a saved result", "error", "{count} cell{s} of {file} hold{verb_s} a formula whose result was never saved, e.g. {value!r}.", "Open the workbook in a spreadsheet program and save it, so that results are stored, or replace the formulas by values.", True),
    Rule("SYN-READ-017", "Row that is no data", "error", "{count} row{s} of {place} {what}.", "{advice}", True),
    Rule("SYN-READ-018", "File seems cut off", "error", "{file} seems to end in the middle: {reason}.", "{advice}", True),
    Rule("SYN-READ-019", "File refused unread", "error", "{file} was refused before it was read: {reason}.", "{advice}", True),
    Rule("SYN-READ-020", "Not a file", "error", "{file} is {reason}, not a file that lies on a disk; it was not opened.", "Copy what comes out of it into a file, and name that one.", True),
    Rule("SYN-READ-021", "Outside the allowed folders", "error", "{reason}.", "Move the files into one of these folders, or let whoever keeps pipeline.yaml add theirs to `data_folders`.", True),
    Rule("SYN-READ-022", "Merged cells among the rows", "error", "{file} has {count} range{s} of merged cells among its rows ({ranges}); all cells of a range but the first are read as empty.", "Unmerge {them} in a spreadsheet program, and write the value into every cell it holds for."),
    Rule("SYN-READ-023", "Row that may be no data", "warning", "{count} row{s} of {table} may hold no {table}: {reason}.", "If {they} {are} a total, a statistic, a remark or commented out, remove {them} from the file; otherwise nothing to do."),
    Rule("SYN-READ-024", "Correction does not apply", "error", "{count} correction{s} in {source} {do} not apply: {reason}.", "{advice}", True),
    Rule("SYN-READ-025", "Corrected by hand", "info", "{file} is read as {source} says: {what}.", "Nothing to do. Keep {source} with the dataset's YAML."),
    # -- columns (ingest)
    Rule("SYN-COL-001", "Unknown column", "error", "{file} has {names}, which {table} does not know{near}.", "{advice}", True),
    Rule("SYN-COL-002", "Required column missing", "error", "{file} has no column {column!r}, which every {table} needs{near}.", "{advice}", True),
    Rule("SYN-COL-003", "Column of the server", "error", "{file} has the column {column!r}, which SynDB's server fills itself; sending it fails.", "Leave it out: `tables.{table}.ignore: [{column}]`.", True),
    Rule("SYN-COL-004", "Column is not sent", "warning", "{names} in {table} {are} not sent: {reason}.", "{advice}"),
    Rule("SYN-COL-005", "Two columns for one", "error", "{file}: the columns {names} all stand for {column}.", "Let one of them stand for it in `tables.{table}.columns`; map the others to other columns, or leave them out with `tables.{table}.ignore`.", True),
    Rule("SYN-COL-006", "Config names a column that is not there", "error", "{file} has no column {column!r}, which `tables.{table}.{key}` names{near}.", "{advice}", True),
    Rule("SYN-COL-007", "One file for two tables", "warning", "{file} is read for {table} and, with the same columns, for {other}.", "Correct `file` or `sheet` of one of them. If the file holds both, give each its own `columns` and `ignore`."),
    # -- types (validate)
    Rule("SYN-TYPE-001", "Not a number", "error", "{count} value{s} of {table}.{column} {are} no number{s}, e.g. {value!r}.", "{advice}", True),
    Rule("SYN-TYPE-002", "Not a whole number", "error", "{count} value{s} of {table}.{column} {are} no whole number{s}, e.g. {value!r}.", "Correct {them}; counts and ids have no fraction.", True),
    Rule("SYN-TYPE-003", "Not true or false", "error", "{count} value{s} of {table}.{column} {are} neither true nor false, e.g. {value!r}.", "Write true or false.{advice}", True),
    # -- values (validate)
    Rule("SYN-VAL-001", "Value out of range", "error", "{count} value{s} of {table}.{column} {are} not {bounds}, e.g. {value!r}{became}.", "{advice}"),
    Rule("SYN-VAL-002", "Not a finite number", "error", "{count} value{s} of {table}.{column} {are} {value!r}, which is no measurement.", "Leave the cell empty where there is no value, or declare the marker: `{setting}`.", True),
    Rule("SYN-VAL-003", "Text too long", "error", "{count} value{s} of {table}.{column} {are} longer than the {limit} characters SynDB keeps.", "Shorten {them}.", True),
    Rule("SYN-VAL-004", "Text is not ASCII", "error", "{count} value{s} of {table}.{column} {have} characters that SynDB's ASCII column cannot keep, e.g. {value!r}.", "Write {them} with plain letters, e.g. alpha for \u03b1.", True),
    Rule("SYN-VAL-005", "Number too large", "error", "{count} value{s} of {table}.{column} {are} beyond what SynDB's column holds ({limit}), e.g. {value!r}.", "Correct {them}; a number this large is mostly an id or a marker in the wrong column.", True),
    Rule("SYN-VAL-006", "Marker empties true values", "warning", "`missing` of the config empties {count} value{s} of {table} that may be true, e.g. {value!r}: {listed}.", "{advice}"),
    Rule("SYN-VOC-001", "Word unknown to SynDB", "warning", "{count} value{s} of {table}.{column} {are} not in SynDB's vocabulary, e.g. {value!r}{near}.", "Use SynDB's words where one fits, so that your data can be compared; other words are kept as they are.{advice}"),
    Rule("SYN-VOC-002", "Capitals become lower case", "hint", "{count} value{s} of {table}.{column} {have} capitals, e.g. {value!r}{others}; SynDB keeps text in lower case and so it is sent.", "Nothing to do."),
    Rule("SYN-VOC-003", "Another spelling of a SynDB word", "hint", "{count} value{s} of {table}.{column} {are} spelt otherwise than in SynDB: {meanings}.", "Nothing to do: {they} {are} kept as {they} {are}. Write SynDB's word if your data shall be found by it."),
    Rule("SYN-VOC-004", "Word with two readings", "error", "{count} value{s} of {table}.{column} may mean something else than SynDB reads: {readings}.", "{advice}"),
    Rule("SYN-VOC-005", "Brain region unknown to SynDB", "warning", "{count} brain region{s} of the dataset {are} not in SynDB's vocabulary, e.g. {value!r}{near}.", "Use SynDB's word where one fits, so that the dataset is found; another name is published as it is written."),
    Rule("SYN-UNIT-001", "Area and volume disagree with their ratio", "warning", "{count} row{s} of {table} {have} a mesh_area_volume_ratio that is not mesh_surface_area / mesh_volume{guess}.", "{advice}"),
    Rule("SYN-UNIT-002", "Area and volume disagree with sphericity", "warning", "{count} row{s} of {table} {have} a mesh_sphericity that does not follow from mesh_surface_area and mesh_volume{guess}.", "{advice}"),
    Rule("SYN-UNIT-003", "Unit looks wrong", "warning", "{situation}.", "{advice}"),
    Rule("SYN-UNIT-004", "Coordinates on another scale", "warning", "The centroids of {table} lie on another scale than those of {other}: about {factor} times smaller on every axis{guess}.", "{advice}"),
    Rule("SYN-UNIT-005", "Axes look exchanged", "warning", "The axes of {table} and {other} look exchanged: {follows}.", "{advice}"),
    Rule("SYN-PATH-001", "Mesh or skeleton not found", "error", "{count} file{s} named in {table}.{column} {do} not exist, e.g. {value!r}.", "Paths are absolute or relative to the dataset's YAML, with / between folders and capitals as in the file's name; correct them or leave the cell empty."),
    Rule("SYN-PATH-002", "Wrong kind of file", "error", "{count} value{s} of {table}.{column} {do} not end in {suffix}, e.g. {value!r}.", "Export {them} as {suffix}, or leave the cell empty."),
    Rule("SYN-PATH-003", "Mesh cannot be read", "error", "{count} file{s} named in {table}.{column} cannot be read as binary glTF 2.0, e.g. {value!r}: {reason}.", "{advice}", True),
    Rule("SYN-PATH-004", "Skeleton is no tree", "error", "{count} file{s} named in {table}.{column} {are} no skeleton{s} in SWC text, e.g. {value!r}: {reason}.", "{advice}", True),
    Rule("SYN-PATH-005", "Skeleton in several pieces", "warning", "{count} skeleton{s} of {table}.{column} {are} in several pieces, e.g. {value!r}: {reason}.", "Join the pieces if they are one neuron, by giving the later roots a parent; {they} {are} published as {they} {are} otherwise."),
    Rule("SYN-PATH-006", "Skeleton with repeated points", "warning", "{count} skeleton{s} of {table}.{column} {have} samples at the very place and radius of their parent, e.g. {value!r}: {reason}.", "Remove the repeated samples and let their children name the sample before; otherwise they count as branches of no length."),
    Rule("SYN-PATH-007", "Skeleton with a radius below zero", "warning", "{count} skeleton{s} of {table}.{column} {have} samples whose radius is below zero, e.g. {value!r}: {reason}.", "Write 0 where no radius was measured; a negative one is taken as it stands."),
    Rule("SYN-PATH-008", "Mesh without a surface", "warning", "{count} mesh file{s} named in {table}.{column} {have} no surface, e.g. {value!r}: {reason}.", "Export the mesh again with its triangles, or leave the cell empty; a viewer shows nothing of {them} otherwise."),
    Rule("SYN-PATH-009", "Mesh or skeleton on another scale", "warning", "{count} file{s} named in {table}.{column} {do} not fit the measures of {their} row{s}, e.g. {value!r}: {reason}.", "{advice}"),
    # -- keys (assign_ids)
    Rule("SYN-ID-001", "Key missing", "error", "{count} row{s} of {table} {have} no {column}.", "Give each row a key of its own; any text will do.", True),
    Rule("SYN-ID-002", "Key stands twice", "error", "{count} row{s} of {table} repeat{verb_s} a {column} that an earlier row has; {distinct} of {total} keys are distinct.", "{advice}", True),
    Rule("SYN-ID-003", "Key damaged by a spreadsheet or float", "error", "{count} key{s} of {table}.{column} {were} stored or written as a number that cannot hold {them} exactly, e.g. {value!r}: digits may be lost.", "Export the ids as text from their source; a spreadsheet cannot give them back.", True),
    Rule("SYN-ID-004", "White space around keys", "hint", "{count} key{s} of {table}.{column} had white space around {them}, which was cut off.", "Nothing to do."),
    Rule("SYN-ID-005", "Key may be damaged", "warning", "{count} key{s} of {table}.{column} look{verb_s} like {a}number{s} that {rounded_by} rounded, e.g. {value!r}: {reason}.", "{advice}"),
    Rule("SYN-ID-006", "Key became a date", "warning", "{count} key{s} of {file}, column {column}, {are} {a}date{s} to the spreadsheet, e.g. {value!r}, and may not be what was typed.", "Format the column as text and enter the ids again, or export them from their source as text."),
    Rule("SYN-ID-007", "Marker used as a key", "error", "{count} row{s} of {table} {have} a {column} that tables hold for `no value`: {listed}{named}.", "{advice}", True),
    Rule("SYN-ID-008", "Quotation marks around keys", "warning", "{count} key{s} of {table}.{column} {have} {marks} as part of {them}, e.g. {value!r}.", "{advice}"),
    # -- relations (join_relations, check_integrity)
    Rule("SYN-REL-001", "Parent not found", "error", "{count} row{s} of {table}: {column} {value!r} is no cid of {target}{reason}.", "{advice}", True),
    Rule("SYN-REL-002", "Reference not found", "error", "{count} row{s} of {table}: {column} {value!r} is no cid of {target}{reason}.", "{advice}", True),
    Rule("SYN-REL-003", "Parent missing", "error", "{count} row{s} of {table} {have} no {column}, so {they} belong{verb_s} to nothing.", "Give each row the cid of the row it is part of.", True),
    Rule("SYN-REL-004", "Which table?", "error", "It is not clear which table {table}.{column} points to: {reason}.", "{advice}", True),
    Rule("SYN-REL-005", "No table to point to", "error", "{table}.{column} points to rows of {targets}, which the dataset does not have.", "{advice}", True),
    Rule("SYN-REL-006", "Pair stands twice", "error", "{count} row{s} of {table} repeat{verb_s} a pair that an earlier row has; {distinct} of {total} pairs are distinct.", "SynDB keeps one row for each pair. {advice}", True),
    Rule("SYN-REL-007", "End of a pair missing", "error", "{count} row{s} of {table} {have} no {column}.", "Give both ends of each connection.", True),
    Rule("SYN-REL-008", "neuron_id contradicts the parents", "error", "{count} row{s} of {table} give{verb_s} a neuron_id that is not the neuron at the root of {their} parents.", "Find out which of the two is right, and correct the other. To leave neuron_id out takes the parents for right.", True),
    Rule("SYN-REL-009", "parent_enum contradicts the parents", "warning", "{count} row{s} of {table} give{verb_s} a parent_enum other than {expected}, the code of {target}.", "Leave parent_enum out; it follows from the relation. Codes changed with SynDB 0.17."),
    Rule("SYN-REL-010", "Columns look swapped", "error", "{count} row{s} of {table}: {column} and {other} look swapped; {proof}.", "{advice}", True),
    Rule("SYN-REL-011", "Numbers lost by combining", "warning", "{count} row{s} of {table} {have} {what}.", "{advice}"),
    Rule("SYN-INT-001", "Table unrelated to the others", "error", "{table} is related to no other table of the dataset.", "{advice}", True),
    Rule("SYN-INT-002", "Synapse without a neuron", "error", "{count} synapse{s} lead{verb_s} to no {target} through parent_id, pre_synapse_id or post_synapse_id.", "Give each synapse a pre_synapse_id or post_synapse_id that leads to a {target}, or publish the tables as datasets of their own.", True),
    Rule("SYN-INT-003", "Published without its parents", "warning", "{table} is published without a table of its parents ({parents}), so nobody can tell what its rows are part of.", "Add the parents' table if you have it."),
    Rule("SYN-INT-004", "Count disagrees with the rows", "warning", "{count} row{s} of {table} declare{verb_s} a {column} that is not the number of {their} {child} rows{besides}.", "Check whether {child} is complete, or correct {column}."),
    Rule("SYN-INT-005", "Total disagrees with the rows", "warning", "{count} row{s} of {table} declare{verb_s} a {column} that is not the sum over {their} {child} rows{besides}.", "Check units and completeness of {child}, or correct {column}."),
    Rule("SYN-INT-007", "Too many rows set aside", "error", "{count} of {read} rows of {table} ({share}) would be set aside, {why}{also}. {cause} {rule} in {where}.", "{advice}", True),
)
# fmt: on
"""Rules by code, in the order of the stages that check them."""
