"""What settings.py accepts, and the words with which it refuses: file, key, what was found, what is
allowed.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.base.errors import ConfigError, Exit
from syndb_pipeline.config.settings import find_pipeline_file, load_dataset
from syndb_pipeline.config.yaml_file import read_yaml
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.embedded import EmbeddedDestination
from syndb_pipeline.destinations.rest import RestDestination

MINIMAL = """\
dataset:
  id: 01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11
  label: A label
  animal: MUS_MUSCULUS
  microscopy: ssTEM
  brain_regions: [{structure: cortex}]
tables:
  neuron: {file: neuron.csv}
"""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "SYNDB_PIPELINE_CONFIG",
        "SYNDB_STATE",
        "SYNDB_MEMORY_LIMIT",
        "SYNDB_THREADS",
        "SYNDB_DESTINATIONS",
        "SYNDB_DATASETS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def write(folder: Path, text: str, name: str = "lab.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(folder: Path, key: str, value: Any) -> Path:
    """The minimal config with one key, its levels divided by slashes, set to a value."""
    content = at = yaml.safe_load(MINIMAL)
    *above, last = key.split("/")
    for part in above:
        at = at.setdefault(part, {})
    at[last] = value
    return write(folder, yaml.safe_dump(content))


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_dataset(path)
    assert caught.value.exit is Exit.USAGE
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_minimal_config_has_the_documented_defaults(tmp_path: Path) -> None:
    config = load_dataset(write(tmp_path, MINIMAL))
    assert (config.name, config.folder, config.path) == ("lab", tmp_path, tmp_path / "lab.yaml")
    assert config.dataset.license == "ODC_BY"
    assert config.dataset.brain_regions[0].direction == "null"
    assert (config.publish.destination, config.publish.approval) == ("local", "manual")
    assert config.terms is None
    assert config.watch is True
    table = config.tables["neuron"]
    assert (table.header_row, table.encoding, table.decimal, table.missing) == (1, "utf-8", ".", [])


def test_a_config_is_found_relative_to_the_working_folder(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL)
    assert load_dataset("lab.yaml").folder == tmp_path


@pytest.mark.parametrize(
    ("key", "written", "kept"),
    [
        ("license", "CC-BY-4.0", "CC_BY"),
        ("license", "cc0-1.0", "CC0"),
        ("license", "ODbL-1.0", "ODC_ODbL"),
        ("license", "odc-by", "ODC_BY"),
        *(
            ("publications", [f"{lead}10.1126/science.add9330"], ["10.1126/science.add9330"])
            for lead in ("", "https://doi.org/", "doi:")
        ),
        ("animal", "mus_musculus", "MUS_MUSCULUS"),
        ("notes", "one\n\ttwo\r\n", "one\n\ttwo\r\n"),
    ],
)
def test_words_are_understood_as_people_write_them(
    tmp_path: Path, key: str, written: Any, kept: Any
) -> None:
    path = changed(tmp_path, f"dataset/{key}", written)
    assert getattr(load_dataset(path).dataset, key) == kept


WRONG: dict[str, list[tuple[Any, str]]] = {
    "dataset/animal": [
        (
            "MUS_MUSCULLUS",
            "'MUS_MUSCULLUS' is not an animal SynDB knows; did you mean MUS_MUSCULUS",
        ),
        ("rat", "did you mean RATTUS_NORVEGICUS?"),
        ("Fruit_Fly", "did you mean DROSOPHILA_MELANOGASTER?"),
        ("unicorn", " ... All "),
        (None, "dataset.animal: found nothing; write a text"),
    ],
    "dataset/license": [("CC BY", "'CC BY' is not a licence SynDB knows; allowed: CC0, ")],
    "dataset/label": [
        (None, "dataset.label: there is no value here"),
        ("x" * 121, "121 characters; allowed are at most 120"),
        ("a\x07b", "'a\\x07b' has a control character, '\\x07', in place 2; remove it"),
    ],
    "dataset/notes": [("x" * 281, "at most 280"), ("a\n\tb\0", "'\\x00', in place 5")],
    "dataset/microscopy": [("a\tb", "has a control character"), ("x" * 201, "at most 200")],
    "dataset/mutations": [
        ([{"gene": "a\nb", "expression": "knock-out"}], "0.gene: 'a\\nb' has a control character"),
        ([{"gene": "x" * 101, "expression": "knock-out"}], "at most 100"),
        ([{"gene": "A", "expression": "knockout"}], "did you mean knock-out"),
    ],
    "dataset/groups": [
        (["lab", ""], "dataset.groups.1: found '', 0 characters; allowed are at least 1"),
        (["a\rb"], "has a control character"),
    ],
    "dataset/collections": [
        (["x" * 121], "dataset.collections.0: "),
        ([f"c{n}" for n in range(1_001)], "at most 1000 items"),
    ],
    "dataset/publications": [
        (["10.1000/a\0b"], "has a control character"),
        (["10.1000/" + "x" * 248], "at most 255"),
        (["10.\u0661\u0662\u0663\u0664/1"], "is not a DOI; write it like 10."),
    ],
    "dataset/id": [("not-a-uuid", "dataset.id: found 'not-a-uuid'; input should be a valid UUID")],
    "dataset/lable": [("x", "dataset.lable: there is no such key; did you mean label")],
    "dataset/brain_regions": [
        ([], "dataset.brain_regions: found a list; list should have at least 1 item"),
        ("cortex", "found 'cortex'; expected a list"),
        ([{"structure": "x" * 121}], "dataset.brain_regions.0.structure: "),
        ([{"structure": "cortex", "direction": "up"}], "direction: 'up' is not a direction"),
        ([{"structur": "cortex"}], "no such key; did you mean structure"),
        (["cortex"], "found 'cortex'; expected keys below it; allowed: structure, direction"),
    ],
    "tables": [({}, "at least 1 item")],
    "tables.neuron.decimal": [
        (",", 'dots mean levels; write it as tables: {neuron: {decimal: ","}}')
    ],
    "tables/tables.neuron.missing": [
        (
            ["-1"],
            "line 11: tables.tables.neuron.missing: dots mean levels; write it as tables: {neu",
        )
    ],
    "tables/neurons": [({"file": "x"}, "'neurons' is not a SynDB table; did you mean neuron")],
    "tables/neuron": [
        ("neuron.csv", "found 'neuron.csv'; expected keys below it, e.g. {file: neuron.csv}"),
        (None, "tables.neuron: found nothing; expected keys below it; allowed: file"),
        ({}, "tables.neuron.file: this key is missing"),
        ({"file": "n", "columns": {"id": "cid"}, "ignore": ["id"]}, "['id'] are in both `columns`"),
    ],
    "tables/neuron/file": [("", "found '', 0 characters; allowed are at least 1")],
    "tables/neuron/thousands": [(".", "so is `decimal`, which is '.' unless it is given; make")],
    "tables/neuron/shet": [("A", "there is no such key; did you mean sheet")],
    "tables/neuron/header_row": [
        (0, "found 0; input should be greater than or equal to 1"),
        (None, "header_row is null, so the columns have no names"),
    ],
    "tables/neuron/names": [(["cid"], "`names` is for a file without header")],
    "tables/neuron/encoding": [("utf8000", "'utf8000' is no encoding")],
    "tables/neuron/delimiter": [
        (";;", "found ';;', 2 characters; allowed are at most 1"),
        ("tab", 'write a tab in double quotes: "\\t"'),
    ],
    "tables/neuron/columns": [({"n": "cidd"}, "columns.n: 'cidd' is no column of neuron; did you")],
    "tables/neuron/units": [
        ({"neuron_type": "um"}, "line 12: tables.neuron.units.neuron_type: 'neuron_type' has no"),
        ({"cid": "um"}, "'cid' has no unit; allowed: cable_length"),
        ({"cable_length": "inch"}, "units.cable_length: found 'inch'; allowed are 'nm', 'um'"),
    ],
    "tables/neuron/parent": [("axon", "'axon' cannot be a parent of neuron; ")],
    "tables/vesicle": [({"file": "v", "parent": "mitochondria"}, "'mitochondria' cannot")],
    "tables/synapse": [
        ({"file": "s", "references": {"pre": "neuron"}}, "'pre' is no reference of synapse; did"),
        (
            {"file": "s", "references": {"pre_synapse_id": "vesicle"}},
            "'vesicle' is not what it may refer to; allowed:",
        ),
    ],
    "tables/neuron/combine": [({"cable_length": "sum"}, "only rows of neuron_relation")],
    "tables/neuron_relation": [
        ({"file": "e", "parent": "neuron"}, "neuron_relation.parent: 'neuron' cannot"),
        ({"file": "e", "combine": {"cid": "sum"}}, "'cid' cannot be combined"),
        ({"file": "e", "combine": {"connection_score": "median"}}, "found 'median'; input should"),
    ],
    "rules": [
        (
            {"SYN-VOC-01": "error"},
            "'SYN-VOC-01' is not the code of a rule; did you mean SYN-VOC-001",
        ),
        ({"SYN-ID-002": "warning"}, "line 9: rules.SYN-ID-002: 'Duplicate key' stays 'error'"),
        ({"SYN-VOC-001": "fatal"}, "rules.SYN-VOC-001: found 'fatal'; input should be 'info', "),
    ],
    "schedule": [("every day", "'every day' is no cron line; it has five fields")],
    "publish/approval": [("never", "found 'never'; input should be 'manual' or 'standing'")],
    "terms": [
        ({"accepted_by": "A"}, "terms.accurate: this key is missing"),
        ({"accepted_on": "1.2.2026"}, "found '1.2.2026'; expected a day like 2026-01-31"),
    ],
    "dataste": [({}, "dataste: there is no such key; did you mean dataset")],
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_key_is_named_with_what_is_allowed(tmp_path: Path, key: str) -> None:
    for value, said in WRONG[key]:
        message = refusal(changed(tmp_path, key, value))
        assert said in message and key.partition("/")[0] in message, (value, message)


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        MINIMAL.replace("MUS_MUSCULUS", "unicorn").replace(
            "structure: cortex", "structure: cortex, direction: up"
        ),
    )
    assert len(refusal(path).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset: {\n", r"line 2, column 1"),
        ("dataset:\n\tid: 1\n", r"line 2, column 1: found character '\\t'"),
        ("dataset:\n\tid: 1\n", r"Indent with spaces"),
        ("a:1\nb: 2\n", r"`key: value`, with a space after each colon"),
        ("a: 1\nb:2\nc: 3\n", r"`key: value`, with a space after the colon.*starts in line 2"),
        ("a: {b: 1\nc: 2\n", r"not closed.*starts in line 1"),
        ("a: 1\na: 2\n", r"line 2, column 1: the key 'a' is there twice"),
        ("a: {{b}}\n", r"line 1, column 5: a key must be a word"),
        ("a: \x07\n", r"special characters are not allowed"),
        ("a: !!python/object:os.system x\n", r"line 1, column 4: the tag .*os\.system is not read"),
        (
            'dataset: {label: "\\ud83e\\udde0"}\n',
            r"line 1, column 18: \\ud83e is half of a character; .* \\U and its eight digits",
        ),
        ('dataset:\n  "\\ud83e": 1\n', r"line 2, column 3: \\ud83e is half of a character"),
        ("just text", r"expected `dataset:` and `tables:`, found 'just text'"),
        (
            "",
            (
                r"expected `dataset:` and `tables:`, found nothing.*\nWrite a new config with:"
                r" syndb-pipeline init"
            ),
        ),
        ("- a\n", r"found a list"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    message = refusal(write(tmp_path, text))
    assert re.search(said, message), message


def test_a_missing_file_a_folder_and_other_bytes_are_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "no.yaml")
    assert "this is a folder" in refusal(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes("dataset: {label: Zürich}".encode("latin-1"))
    assert "byte 18 is not UTF-8" in refusal(path)
    assert "may hold letters, digits" in refusal(write(tmp_path, MINIMAL, "my lab.yaml"))


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert load_dataset(write(tmp_path, "\ufeff" + MINIMAL)).dataset.label == "A label"


def test_text_stays_as_it_was_typed(tmp_path: Path) -> None:
    typed = ["-1", "-999.00", "1_000", "12:30", "NA", "1e5", "true", "no", "007", "2026-01-31"]
    text = MINIMAL.replace("label: A label", "label: 007").replace(
        "{file: neuron.csv}",
        f"{{file: neuron.csv, missing: [{', '.join(typed)}], columns: {{0010: cid}}}}",
    )
    config = load_dataset(write(tmp_path, text))
    assert config.dataset.label == "007"
    assert config.tables["neuron"].missing == typed
    assert config.tables["neuron"].columns == {"0010": "cid"}


def test_names_may_be_of_any_script(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("A label", '"\\U0001F9E0 \\u00fc \u8133"'))
    assert load_dataset(path).dataset.label == "\U0001f9e0 ü 脳"


def test_errors_name_the_line_of_the_nearest_key(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "rules:\n  SYN-VOC-001: loud\ntables:\n  axon: {file: a.csv, shet: 1}\n"
        "  vesicle:\n    units:\n      radius: um\ndataset:\n  label: [x]\n",
    )
    lines = [line.partition(":")[0].strip() for line in refusal(path).splitlines()[1:]]
    assert sorted(lines, key=lambda line: int(line[5:])) == [
        "line 2",
        "line 4",
        "line 5",
        *["line 8"] * 4,
        "line 9",
    ]


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    path = write(tmp_path, "base: &x {a: 0}\nbase2: &x {a: 1, b: 2}\nmore: {<<: *x, b: 3}\n")
    with warnings.catch_warnings():  # an anchor that is used twice says nothing
        warnings.simplefilter("error")
        assert read_yaml(path).content["more"] == {"a": "1", "b": "3"}


# -- pipeline.yaml


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "state: ../state\ndestinations: {local: {path: node}, other: {path: /elsewhere}}\n",
        "pipeline.yaml",
    )
    settings = load_settings(path)
    assert settings.state == tmp_path.parent / "state"
    assert settings.datasets == tmp_path / "datasets"
    assert settings.destinations["local"].path == tmp_path.parent / "state" / "node"
    assert settings.destinations["other"].path == Path("/elsewhere")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2GB", 2_000_000_000),
        ("1500 MiB", 1500 * 1024**2),
        ("1.5g", 1_500_000_000),
        (600_000_000, 600_000_000),
    ],
)
def test_memory_is_written_as_people_write_it(tmp_path: Path, written: object, read: int) -> None:
    assert (
        load_settings(write(tmp_path, f"memory_limit: {written}", "pipeline.yaml")).memory_limit
        == read
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "memory_limit: much",
            r"memory_limit: 'much' is not an amount of memory; write it like 2GB",
        ),
        ("memory_limit: 10MB", r"memory_limit: .*greater than or equal to 500000000"),
        ("threads: 0", r"threads: found 0; .*greater than or equal to 1"),
        ("stat: x", r"stat: there is no such key; did you mean state"),
        ("_env_file: x", r"_env_file: there is no such key; .*: state, datasets"),
        ("1: x", r"1: there is no such key"),
        (
            "destinations: {local: {pth: x}}",
            r"destinations\.local\.pth: there is no such key; did you mean path",
        ),
        ("[a]", r"expected keys such as `state:`, found a list"),
    ],
)
def test_a_wrong_pipeline_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text, "pipeline.yaml")
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert re.search(said, str(caught.value), re.DOTALL), str(caught.value)


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "state: here\nmemory_limit: 2GB\n", "pipeline.yaml")
    monkeypatch.setenv("SYNDB_STATE", "there")
    monkeypatch.setenv("SYNDB_MEMORY_LIMIT", "3GB")
    monkeypatch.setenv("SYNDB_DESTINATIONS__local__path", "/node")
    settings = load_settings(path)
    assert (settings.state, settings.memory_limit) == (tmp_path / "there", 3_000_000_000)
    assert settings.destinations["local"].path == Path("/node")


def test_a_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "{}", "pipeline.yaml")
    monkeypatch.setenv("SYNDB_THREADS", "many")
    with pytest.raises(ConfigError, match="the environment variable SYNDB_THREADS: found 'many'"):
        load_settings(path)
    monkeypatch.delenv("SYNDB_THREADS")
    monkeypatch.setenv("SYNDB_DESTINATIONS", "{broken")
    with pytest.raises(ConfigError, match=r"environment variable SYNDB_.*destinations"):
        load_settings(path)


def test_the_nearest_pipeline_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config" / "datasets").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    own = write(tmp_path / "config", "state: s", "pipeline.yaml")
    monkeypatch.chdir(tmp_path / "config" / "datasets")
    assert find_pipeline_file() == own
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find_pipeline_file() == own
    named = write(tmp_path, "state: t", "named.yaml")
    monkeypatch.setenv("SYNDB_PIPELINE_CONFIG", str(named))
    assert find_pipeline_file() == named
    assert load_settings(near=tmp_path / "config").note == f"Settings: {named}"


BESIDE = """\
state: state
datasets: sets
data_folders: [/]
memory_limit: 3GB
threads: 3
destinations:
  local: {kind: embedded, path: /elsewhere, owner: eve}
  second: {kind: embedded, path: another}
  syndb: {kind: rest, url: "https://evil.example/base"}
"""


@pytest.fixture
def colleague(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with somebody else's pipeline.yaml; the working folder is another, with none at or
    above it.
    """
    for name in ("colleague", "mine"):
        (tmp_path / name).mkdir()
    write(tmp_path / "colleague", BESIDE, "pipeline.yaml")
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "colleague"


def test_a_file_beside_a_dataset_decides_no_place_and_no_folder(
    colleague: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(near=colleague)
    state = tmp_path / "home" / "syndb-pipeline" / ".syndb"
    assert (settings.state, settings.data_folders, settings.memory_limit, settings.threads) == (
        state,
        None,
        3_000_000_000,
        3,
    )
    assert (settings.file, settings.beside) == (colleague / "pipeline.yaml", True)
    assert settings.datasets.is_relative_to(tmp_path / "home")
    paths = [
        each.path
        for each in settings.destinations.values()
        if isinstance(each, EmbeddedDestination)
    ]
    assert paths == [state / "node", state / "another"]
    server = settings.destinations["syndb"]
    assert isinstance(server, RestDestination)
    assert server.beside == colleague / "pipeline.yaml"
    assert settings.note is not None
    assert str(colleague / "pipeline.yaml") in settings.note and str(state) in settings.note
    monkeypatch.setenv("SYNDB_STATE", str(tmp_path / "chosen"))
    assert load_settings(near=colleague).state == tmp_path / "chosen"


def test_the_working_folders_file_wins_over_one_beside_a_dataset(
    colleague: Path, tmp_path: Path
) -> None:
    own = write(
        tmp_path / "mine",
        "data_folders: [/data]\ndestinations: {syndb: {kind: rest, url: 'https://syndb.example'}}",
        "pipeline.yaml",
    )
    settings = load_settings(near=colleague)
    assert settings.state == tmp_path / "mine" / ".syndb"
    assert settings.data_folders == [Path("/data")]
    server = settings.destinations["syndb"]
    assert isinstance(server, RestDestination)
    assert (server.url, server.beside) == ("https://syndb.example", None)
    assert (
        settings.note
        == f"Settings: {own}. Not used: {colleague / 'pipeline.yaml'}, beside the dataset"
    )
    assert load_settings().note is None
    assert load_settings(near=tmp_path / "mine").note is None


def test_a_file_that_is_named_is_ones_own(colleague: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = load_settings(colleague / "pipeline.yaml", near=colleague)
    monkeypatch.setenv("SYNDB_PIPELINE_CONFIG", str(colleague / "pipeline.yaml"))
    for settings in (named, load_settings(near=colleague)):
        assert (settings.state, settings.beside) == (colleague / "state", False)
        assert settings.note == f"Settings: {colleague / 'pipeline.yaml'}"
        server = settings.destinations["syndb"]
        assert isinstance(server, RestDestination)
        assert server.beside is None
    monkeypatch.delenv("SYNDB_PIPELINE_CONFIG")
    monkeypatch.chdir(colleague)
    assert load_settings(near=colleague).note is None


def test_without_any_file_the_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = load_settings(near=tmp_path)
    assert settings.state.is_absolute()
    assert settings.memory_limit == 2_000_000_000
    assert list(settings.destinations) == ["local"]


def test_the_projects_own_pipeline_file_is_valid() -> None:
    root = Path(__file__).resolve().parents[3]
    settings = load_settings(root / "config" / "pipeline.yaml")
    assert settings.state == root / ".syndb"
    assert settings.datasets == root / "config" / "datasets"
