"""The store's promises: a crash leaves the old state or the new, a changed byte is seen, one run at
a time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.rules.finding import build
from syndb_pipeline.state import store
from syndb_pipeline.state.store import (
    DatasetStore,
    IngestRecord,
    Record,
    Run,
    describe_outputs,
    replace_folder,
    write_atomically,
)

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")


def make_record(**changes: object) -> Record:
    values = {
        "stage": "ingest",
        "dataset": DATASET,
        "inputs": {"config": "a"},
        "versions": {"duckdb": "2"},
        "outputs": {},
        "details": {"tables": {}, "files": [], "made_from": {}},
    }
    return IngestRecord.model_validate(values | changes)


def commit(dataset: DatasetStore, content: str = "rows", **changes: object) -> Record:
    folder = dataset.scratch / "ingest"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "neuron.parquet").write_text(content)
    record = make_record(outputs=describe_outputs(folder), **changes)
    dataset.commit(folder, record)
    return record


def test_canonical_json_has_one_digest() -> None:
    assert digest_of({"b": 1, "a": [1, None, "é"]}) == digest_of({"a": [1, None, "é"], "b": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    # Fixed for good: receipts hold these digests.
    assert (
        digest_of({"a": "é"}) == "b3a092a6af48807fa9482b2ee140105575daa26d5b24b3c0e60a7e2dee6683b1"
    )


def test_the_digest_covers_everything_but_the_run() -> None:
    record = make_record()
    ran = make_record(
        run={
            "started": "2026-01-01T00:00:00Z",
            "seconds": 1,
            "rows_per_second": 1,
            "peak_memory_bytes": 1,
        }
    )
    assert isinstance(ran.run, Run)
    assert record.digest == ran.digest
    finding = build("SYN-ID-001", table="neuron", column="cid", count=1)
    for change in (
        {"inputs": {"config": "b"}},
        {"versions": {"duckdb": "3"}},
        {"outputs": {"f": {"sha256": "0", "bytes": 1}}},
        {"tables": {"neuron": {"read": 2, "passed": 1, "rejected": 1}}},
        {"findings": [finding]},
        {"details": {"tables": {}, "files": [], "made_from": {"neuron": "0"}}},
        {"dataset": UUID(int=1)},
        {"stage": "validate"},
    ):
        assert make_record(**change).digest != record.digest, change


def test_what_is_committed_is_read_back(tmp_path: Path) -> None:
    dataset = DatasetStore(tmp_path, DATASET)
    assert dataset.record("ingest") is None
    record = commit(dataset)
    assert dataset.record("ingest") == record
    assert list(record.outputs) == ["tables/neuron.parquet"]
    assert dataset.stage("ingest") == tmp_path / "datasets" / str(DATASET) / "ingest"
    assert dataset.mismatches(record) == []


def test_one_flipped_byte_and_a_lost_file_are_seen(tmp_path: Path) -> None:
    dataset = DatasetStore(tmp_path, DATASET)
    record = commit(dataset)
    file = dataset.stage("ingest") / "tables" / "neuron.parquet"
    file.write_text("rowz")
    assert dataset.mismatches(record) == ["ingest/tables/neuron.parquet"]
    file.unlink()
    assert dataset.mismatches(record) == ["ingest/tables/neuron.parquet"]


def test_a_new_commit_replaces_the_old_whole(tmp_path: Path) -> None:
    dataset = DatasetStore(tmp_path, DATASET)
    commit(dataset)
    (dataset.stage("ingest") / "stray").write_text("x")
    record = commit(dataset, "other rows", inputs={"config": "b"})
    assert sorted(p.name for p in dataset.stage("ingest").iterdir()) == ["record.json", "tables"]
    assert dataset.record("ingest") == record
    assert [p.name for p in dataset.folder.iterdir() if p.name.startswith(".ingest")] == []


def test_a_crash_between_the_renames_leaves_no_half_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, new = tmp_path / "stage", tmp_path / "new"
    for folder, text in ((target, "old"), (new, "new")):
        folder.mkdir()
        (folder / "f").write_text(text)
    renames: list[str] = []
    rename = Path.replace

    def failing(source: Path, destination: Path) -> None:
        if renames:
            raise OSError("power cut")
        renames.append(str(destination))
        rename(source, destination)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="power cut"):
        replace_folder(new, target)
    assert not target.exists()
    assert (new / "f").read_text() == "new"


def test_a_text_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "record.json"
    write_atomically(path, "old")
    write_atomically(path, "new", mode=0o600)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600

    def failing(source: Path, destination: Path) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(store.os, "replace", failing)
    with pytest.raises(OSError, match="power cut"):
        write_atomically(path, "newest")
    assert path.read_text() == "new"


def holding(root: Path) -> subprocess.Popen[str]:
    """Another process that holds the dataset's lock until it hears something."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom uuid import UUID\nfrom"
        " syndb_pipeline.state.store import DatasetStore\nwith DatasetStore(Path(sys.argv[1]),"
        " UUID(sys.argv[2])).lock():\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script, str(root), str(DATASET)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_runs_of_one_dataset_do_not_overlap(tmp_path: Path) -> None:
    other = holding(tmp_path)
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(PipelineError, match="under way") as caught,
            DatasetStore(tmp_path, DATASET).lock(),
        ):
            pass
        assert caught.value.next_step
        assert caught.value.exit is Exit.BUSY
        with DatasetStore(tmp_path, UUID(int=7)).lock():
            pass  # another dataset is free
    finally:
        other.kill()
        other.communicate()
    # A killed holder leaves no lock behind, and what it left half done is swept.
    dataset = DatasetStore(tmp_path, DATASET)
    (dataset.scratch / "junk").mkdir(parents=True)
    with dataset.lock():
        assert list(dataset.scratch.iterdir()) == []
    assert not dataset.scratch.exists()


def test_a_run_may_wait_for_another_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    with holding(tmp_path) as other:
        assert other.stdin is not None and other.stdout is not None
        held_elsewhere = other.stdin
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(PipelineError, match="did not end within"),
            DatasetStore(tmp_path, DATASET).lock(wait=0.01),
        ):
            pass

        def hear(line: str) -> None:
            said.append(line)
            held_elsewhere.write("\n")  # the other run ends while this one waits
            held_elsewhere.flush()

        with DatasetStore(tmp_path, DATASET).lock(wait=60, say=hear):
            pass
    assert len(said) == 1
    assert "is under way. Waiting up to 60 s" in said[0]


def test_a_damaged_record_counts_as_a_stage_that_has_to_run_again(tmp_path: Path) -> None:
    dataset = DatasetStore(tmp_path, DATASET)
    commit(dataset)
    for damage in (b"garbage", b"\xff\xfe", b"", b"{}"):
        dataset.record_path("ingest").write_bytes(damage)
        assert dataset.record("ingest") is None


def test_outputs_are_described_without_the_record(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"abc")
    (tmp_path / "record.json").write_text(json.dumps({}))
    described = describe_outputs(tmp_path)
    assert {name: output.bytes for name, output in described.items()} == {"a/x": 3}


def test_what_a_crash_left_behind_goes_with_the_next_run(tmp_path: Path) -> None:
    dataset = DatasetStore(tmp_path, DATASET)
    commit(dataset)
    left = dataset.folder / ".ingest.0123456789abcdef"
    left.mkdir()
    (left / "old.parquet").write_text("x")
    with dataset.lock():
        assert not left.exists()
    assert dataset.record("ingest") is not None
