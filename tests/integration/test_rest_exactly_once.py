"""Publishing over HTTP, disturbed at every request and killed at every step; then the same command:
complete, and nothing twice.

Belongs here: real servers and clients on a real socket, one disturbance each. Does not: what the
user reads (`test_rest_faults.py`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import pytest

from tests.campaigns import sampled
from tests.rest_crash import DATASET, LABEL, Bench, Case, Ended

SIDE_BY_SIDE = max(2, min(4, os.cpu_count() or 2))
AT_MOST = 4
"""Cases of each kind, but where the whole campaign is asked for."""

pytestmark = pytest.mark.timeout(1800)  # hundreds of cases, on machines that may be busy

_Each = TypeVar("_Each")


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleQueue[Bench]]:
    root, free = tmp_path_factory.mktemp("benches"), SimpleQueue[Bench]()
    made = [Bench(root / f"bench-{number}") for number in range(SIDE_BY_SIDE)]
    for bench in made:
        free.put(bench)
    yield free
    for bench in made:
        bench.close()


def with_each(
    benches: SimpleQueue[Bench],
    what: str,
    cases: Sequence[_Each],
    do: Callable[[Bench, _Each], None],
) -> None:
    """Do the cases, or a sample, as many side by side as there are benches. What one raises is
    raised here, with the case's name.
    """

    def one(case: _Each) -> None:
        bench = benches.get()
        try:
            do(bench, case)
        except Exception as error:
            error.add_note(f"in the case {case!r} of: {what}")
            raise
        finally:
            benches.put(bench)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = [pool.submit(one, case) for case in sampled(what, cases, AT_MOST)]
        try:
            for future in running:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@pytest.fixture(scope="module")
def undisturbed(benches: SimpleQueue[Bench]) -> tuple[int, tuple[str, ...]]:
    """The requests of a publication that nothing disturbs, and the steps at which a client can be
    killed.
    """
    bench = benches.get()
    case = bench.case()
    ended = case.publish(die_at=-1)
    assert ended.code == 0, case.story
    case.require_whole()
    seen = case.requests()
    routes = Counter(each["route"] for each in seen)
    wanted = {"new": 3, "upload": 1, "tag": 5, "collection": 1}
    assert {name: routes[name] for name in wanted} == wanted
    assert sum((each["route"], each["method"]) == ("object", "POST") for each in seen) == 3
    benches.put(bench)
    return len(seen), ended.steps


@dataclass(frozen=True)
class Trouble:
    """A fault, and how a command that meets it may end.

    With `lost_state` this machine remembers nothing of a command that stopped; with `once_more`
    nothing of one that was done.
    """

    fault: str
    code: int = 0
    lost_state: bool = False
    once_more: bool = False


TROUBLES = (
    # An answer that is lost.
    Trouble("drop@{}", 6, lost_state=True, once_more=True),
    Trouble("reset@{}", 6),
    Trouble("reset-response@{}", 6, lost_state=True),
    # Only a 500 in the contract's own words is a no; a gateway's leaves open what happened, and 503
    # says that nothing did.
    Trouble("500@{}", 5),
    Trouble("502@{}", 6),
    Trouble("503@{},retry-after=0"),
    # A body that is cut off.
    *(
        Trouble(f"reset@{route},after={{}}", 6, lost_state=True)
        for route in ("upload", "object:1", "object:3")
    ),
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.fault)
def test_trouble_at_any_request_or_place(
    benches: SimpleQueue[Bench], undisturbed: tuple[int, tuple[str, ...]], trouble: Trouble
) -> None:
    def disturbed(bench: Bench, number: int) -> None:
        fault = trouble.fault.format(number)
        case = bench.case(fault)
        first = case.publish()
        assert first.code in (0, trouble.code), case.story
        require_right_words(case, first)
        assert any(seen["fault"] for seen in case.requests()), f"{fault} never happened"
        if first.code:
            if trouble.lost_state:
                case.lose_state()
            case.until_done()
        case.require_whole()
        if not first.code and trouble.once_more:
            case.lose_state()
            assert case.publish().code == 0, case.story
            case.require_whole()

    in_body = ",after={}" in trouble.fault
    cases = (1, 300, 5_000) if in_body else range(1, undisturbed[0] + 1)
    with_each(benches, trouble.fault, cases, disturbed)


def require_right_words(case: Case, ended: Ended) -> None:
    """What may have arrived is never said to have failed, and whoever reads the message knows what
    to do next.
    """
    if ended.code == 6:
        assert "again" in ended.told and "ailed" not in ended.told, case.story
        assert re.search(
            r"syndb-pipeline publish \S*example.yaml|Give the same command again", ended.told
        ), case.story
    if ended.code == 5:
        assert "answered 5" in ended.told, case.story


def test_the_token_expires_at_any_request(
    benches: SimpleQueue[Bench], undisturbed: tuple[int, tuple[str, ...]]
) -> None:
    """With a user name and a password the run goes on; with a token alone it stops, says how to log
    in, and goes on after that.
    """
    requests, _ = undisturbed

    def renewed(bench: Bench, number: int) -> None:
        case = bench.case(f"expire@{number}")
        assert case.publish().code == 0, case.story
        case.require_whole()
        assert case.routes()["upload"] <= 2, case.story

    def by_hand(bench: Bench, number: int) -> None:
        case = bench.case(f"expire@{number + 1}")  # the first request is ours, for the token
        stopped = case.publish(token=case.token())
        if stopped.code:
            assert stopped.code == 5, case.story
            assert (
                "does not know you" in stopped.told
                and "syndb-pipeline login --destination sandbox" in stopped.told
            ), case.story
            stopped = case.publish(token=case.token())
        assert stopped.code == 0, case.story
        case.require_whole()

    with_each(benches, "expire, renewed", range(1, requests + 1), renewed)
    with_each(benches, "expire, by hand", range(1, requests), by_hand)


def test_the_client_is_killed_at_every_step(
    benches: SimpleQueue[Bench], undisturbed: tuple[int, tuple[str, ...]]
) -> None:
    _, steps = undisturbed
    told = Counter(step.split()[1] for step in steps)
    assert (
        told["request"] >= 60
        and told["journal"] >= 18
        and told["record"] >= 6
        and told["body,"] >= 16
    )

    def killed(bench: Bench, case_of: tuple[int, bool]) -> None:
        step, lost_state = case_of
        case = bench.case()
        assert case.publish(die_at=step).code == -signal.SIGKILL, case.story
        if lost_state:
            shutil.rmtree(case.records.folder, ignore_errors=True)
        case.until_done()
        case.require_whole()

    with_each(benches, "kill", [(step, False) for step in range(len(steps))], killed)
    # Right after one step and right before the next the world is the same; the first half of this
    # test has both.
    others = [step for step, name in enumerate(steps) if not name.startswith("after")]
    with_each(benches, "kill, then state lost", [(step, True) for step in others], killed)


def require_deleted(case: Case) -> None:
    assert case.node.all() == [] and case.node.info(DATASET) is None, case.story
    assert len(case.node.deletions(DATASET)) == 1, case.story
    [tombstone] = case.records.tombstones()
    assert (tombstone.deletion.label, tombstone.receipt) == (LABEL, case.bench.plan.digest)
    assert [line.state for line in case.records.journal() if line.step == "delete"][-1] == "done"


def deleted_by_the_same_command(case: Case) -> None:
    again = case.delete()
    # Cut off after its last line was written, the deletion was complete: there is nothing to delete
    # any more.
    assert again.code == 0 or (again.code == 5 and "There is no dataset" in again.told), case.story
    require_deleted(case)


def test_a_deletion_disturbed_at_any_request(benches: SimpleQueue[Bench]) -> None:
    bench = benches.get()
    undisturbed = bench.published_case()
    assert undisturbed.delete().code == 0, undisturbed.story
    require_deleted(undisturbed)
    requests = len(undisturbed.requests())
    benches.put(bench)
    assert requests >= 6

    def disturbed(bench: Bench, fault: str) -> None:
        case = bench.published_case(fault)
        first = case.delete()
        assert first.code in (0, 6), case.story
        assert any(seen["fault"] for seen in case.requests()), case.story
        if first.code:
            deleted_by_the_same_command(case)
        require_deleted(case)

    faults = [
        f"{kind}@{number}" for kind in ("drop", "reset", "502") for number in range(1, requests + 1)
    ]
    with_each(benches, "delete, an answer lost", faults, disturbed)


def test_the_client_is_killed_at_every_step_of_a_deletion(benches: SimpleQueue[Bench]) -> None:
    bench = benches.get()
    case = bench.published_case()
    steps = case.delete(die_at=-1).steps
    require_deleted(case)
    benches.put(bench)
    assert {step.split(maxsplit=1)[1] for step in steps} >= {
        "journal delete start",
        "journal delete done",
        "record tombstones",
    }

    def killed(bench: Bench, step: int) -> None:
        case = bench.published_case()
        assert case.delete(die_at=step).code == -signal.SIGKILL, case.story
        deleted_by_the_same_command(case)

    with_each(benches, "delete, killed", range(len(steps)), killed)


def test_a_deleted_dataset_is_published_anew(benches: SimpleQueue[Bench]) -> None:
    """What the journal tells of the first life says nothing of the second."""
    bench = benches.get()
    case = bench.published_case()
    assert case.delete().code == 0, case.story
    assert case.publish().code == 0, case.story
    case.require_whole()
    benches.put(bench)


def test_generation_2_at_any_request_and_step(tmp_path: Path) -> None:
    """The same of `/v1`, where it takes tables."""
    bench = Bench(tmp_path / "bench", v1=True)
    try:
        undisturbed = bench.case()
        steps = undisturbed.publish(die_at=-1).steps
        undisturbed.require_whole()
        seen = undisturbed.requests()
        assert {each["route"] for each in seen} >= {"login", "validate", "new", "count", "upload"}
        faults = [
            f"{kind}@{number}"
            for kind in ("drop", "reset", "502", "503", "expire")
            for number in range(1, len(seen) + 1)
        ]
        for fault in sampled("v1, faults", faults, AT_MOST):
            case = bench.case(fault)
            first = case.publish()
            assert first.code in (0, 5, 6), case.story
            if first.code:
                case.until_done()
            case.require_whole()
        for step in sampled("v1, killed", range(len(steps)), AT_MOST // 2):
            case = bench.case()
            assert case.publish(die_at=step).code == -signal.SIGKILL, case.story
            case.until_done()
            case.require_whole()
    finally:
        bench.close()


@pytest.mark.parametrize(
    "faults", [(), ("slow=0.5@upload",), ("slow-answer=0.5@upload",), ("slow=0.5@new:3",)]
)
def test_two_clients_publish_the_same_dataset_at_once(
    benches: SimpleQueue[Bench], faults: tuple[str, ...]
) -> None:
    """Two state folders know nothing of each other. Whoever did not create the dataset sees the
    other's upload before sending its own.
    """
    bench = benches.get()
    case = bench.case(*faults)
    labs = [case.lab, case.folder / "second"]
    shutil.copytree(case.lab, labs[1])
    for lab in labs:
        settings = lab / "pipeline.yaml"
        settings.write_text(
            settings.read_text().replace("settle_seconds: 1.5", "settle_seconds: 20.0")
        )
    running = [case.start(lab) for lab in labs]
    ended = [case.ended(lab, pid) for lab, pid in zip(labs, running, strict=True)]
    assert [each.code for each in ended] == [0, 0], case.story
    case.require_whole()
    case.require_receipt(labs[1], bench.plan)
    assert case.routes()["upload"] == 1
    benches.put(bench)
