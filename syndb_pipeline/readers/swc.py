"""Skeletons as SWC text: whether a file is a forest of samples, each leading to a root.

Belongs here: reading one file within bounds and what is wrong with it. Does not: tables, findings,
or which pieces make a neuron.
"""

from __future__ import annotations

import math
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from syndb_pipeline.readers.signatures import recognise_shape

COLUMNS: Final = ("id", "type", "x", "y", "z", "radius", "parent")
"""The seven values of a sample, in their order (Cannon et al. 1998, "An on-line archive of
reconstructed hippocampal neurons").
"""

MAX_SAMPLES: Final = 5_000_000
"""More samples than any neuron's skeleton has; beside each other in memory they take some 400
MB.
"""

MAX_LINES: Final = 100_000_000

MAX_LINE: Final = 1_000_000
"""The longest line, in characters. A sample has some fifty; only comments come near."""

_CHUNK: Final = 1 << 21
_LARGE: Final = 16 << 20
_one_large_file = threading.Lock()
"""Files from `_LARGE` bytes on are checked one at a time, so that many threads need no more memory
than one.
"""

_WHOLE: Final = r"([+-]?[0-9]{1,18})"
_NUMBER: Final = r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
_SAMPLE: Final = "^" + r"[ \t]+".join([_WHOLE, _WHOLE, *[_NUMBER] * 4, _WHOLE]) + r"[ \t]*(?:#.*)?$"
_ROOT: Final = -1
_PLACE: Final = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class SwcReport:
    """What a file holds. `reason` says why it is no skeleton, `line` where, if a line can be named,
    and `advice` what to do where that follows from it; the numbers are a skeleton's.

    `box` is the one around its samples (smallest x, y, z, then largest) and `length` that of all
    its pieces from parent to child. `repeated` counts samples that are where their parent does
    with the same radius, `negative` those with a radius below zero; `other_root`, `first_repeated`
    and `first_negative` are the lines of the second root and of the first such sample.
    """

    reason: str | None = None
    line: int | None = None
    advice: str = field(default="", compare=False)
    samples: int = 0
    roots: int = 0
    other_root: int | None = None
    repeated: int = 0
    first_repeated: int | None = None
    negative: int = 0
    first_negative: int | None = None
    box: tuple[float, ...] | None = field(default=None, compare=False)
    length: float = field(default=0.0, compare=False)

    @property
    def fault(self) -> str | None:
        """The reason with its line, or None for a skeleton."""
        return f"line {self.line}: {self.reason}" if self.line is not None else self.reason


class _NoSkeleton(Exception):
    """Why the file is refused. Never leaves this module."""

    def __init__(self, reason: str, line: int | None = None, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.advice = advice


def check_swc(path: Path) -> SwcReport:
    """Whether `path` is a skeleton in SWC text: one sample a line, ids unique, parents there, every
    sample leading to a root.

    Parents may be after their children, types may be any whole number, comments any bytes.
    Nothing is raised: what is wrong with the file, even that it cannot be opened, is the report's
    `reason`. Memory grows with the samples, up to `MAX_SAMPLES`, and with nothing else.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return SwcReport("it is no regular file")
        with _one_large_file if about.st_size >= _LARGE else nullcontext():
            return _report(_read(path))
    except OSError as error:
        return SwcReport(f"it cannot be opened: {error.strerror}")
    except ValueError:
        return SwcReport("its path is no path of a file")
    except _NoSkeleton as fault:
        what, advice = recognise_shape(path) if fault.line is not None else ("", "")
        if what:
            return SwcReport(
                f"{'it is no sample' if fault.advice else fault.reason}; the file is {what}",
                fault.line,
                advice,
            )
        return SwcReport(fault.reason, fault.line, fault.advice)


def _chunks(path: Path) -> Iterator[tuple[int, str]]:
    """The file's whole lines, some at a time, with the number of the first. Line ends of every
    system become one.

    Latin-1 gives every byte a character, so comments may be in any encoding; samples have plain
    digits only.
    """
    first, rest = 1, ""
    with path.open(encoding="latin-1", newline=None) as file:
        while text := file.read(_CHUNK):
            if "\0" in text:
                at = first + text.count("\n", 0, text.index("\0"))
                hint = (
                    "; save it as UTF-8"
                    if first == 1 and text.startswith(("\xff\xfe", "\xfe\xff"))
                    else ""
                )
                raise _NoSkeleton(f"it has a zero byte, so it is no plain text{hint}", at)
            if first == 1 and not rest:
                text = text.removeprefix("\xef\xbb\xbf")  # the byte order mark of UTF-8
            whole, end, started = text.rpartition("\n")
            if end:
                lines = rest + whole
                yield first, lines
                first += lines.count("\n") + 1
                rest = started
            else:
                rest += text
            if first > MAX_LINES:
                raise _NoSkeleton(f"it has more than {MAX_LINES:,} lines")
            if len(rest) > MAX_LINE:
                raise _NoSkeleton(f"the line is longer than {MAX_LINE:,} characters", first)
    if rest:
        yield first, rest


def _read(path: Path) -> pl.DataFrame:
    """The file's samples: line, id, parent, radius below zero, a hash of place and radius, and the
    place in floats of 32 bits.
    """
    kinds = {
        "line": pl.UInt32,
        "id": pl.Int64,
        "parent": pl.Int64,
        "negative": pl.Boolean,
        "place": pl.UInt64,
    }
    frames = [pl.DataFrame(schema=kinds | dict.fromkeys(_PLACE, pl.Float32))]
    count = 0
    for first, text in _chunks(path):
        frame = _samples(first, text)
        count += len(frame)
        if count > MAX_SAMPLES:
            raise _NoSkeleton(f"it has more than {MAX_SAMPLES:,} samples")
        frames.append(frame)
    if not count:
        raise _NoSkeleton("it holds no sample")
    return pl.concat(frames)


def _samples(first: int, text: str) -> pl.DataFrame:
    """The samples among the lines of `text`, of which the first is line `first`. Raises
    `_NoSkeleton` for the first line that is none.
    """
    lines = (
        pl.DataFrame({"text": pl.Series([text]).str.split("\n").explode().str.strip_chars(" \t")})
        .lazy()
        .with_row_index("line", first)
        .filter(pl.col("text") != "", ~pl.col("text").str.starts_with("#"))
    )
    values = pl.col("text").str.extract_groups(_SAMPLE).struct.rename_fields(list(COLUMNS))
    places = ("x", "y", "z", "radius")
    samples = (
        lines.with_columns(values.alias("values"))
        .unnest("values")
        .with_columns(
            pl.col("id", "type", "parent").cast(pl.Int64, strict=False),
            # A zero has no sign, or 0.0 and -0.0 would be two places.
            *(pl.col(name).cast(pl.Float64, strict=False) + 0.0 for name in places),
        )
        .collect()
    )
    good = pl.col("id") >= 0
    for name in ("type", "parent"):
        good &= pl.col(name).is_not_null()
    for name in places:
        good &= pl.col(name).is_finite()
    wrong = samples.filter(~good.fill_null(False)).head(1)
    if len(wrong):
        raise _why_no_sample(wrong["text"].item(), wrong["line"].item())
    return samples.select(
        pl.col("line").cast(pl.UInt32),
        "id",
        "parent",
        (pl.col("radius") < 0).alias("negative"),
        pl.struct(places).hash().alias("place"),
        pl.col(_PLACE).cast(pl.Float32),
    )


def _why_no_sample(text: str, line: int) -> _NoSkeleton:
    """What is wrong with a line that should be a sample, and what to do about it."""
    text = text.split("#", 1)[0].strip(" \t")
    values, words = re.split("[ \t]+", text), re.split("[ \t]*[,;][ \t]*|[ \t]+", text)
    if len(words) > 1 and not any(map(_is_number, words)):
        reason = (
            f"it holds words where numbers are expected, {_shown(text, 60)}; a line of column names"
            " or remarks starts with #"
        )
        return _NoSkeleton(reason, line, "Put a # before the line, or remove it.")
    if len(words) >= len(COLUMNS) > len(re.split("[ \t]+", re.sub("[ \t]*[,;][ \t]*", ",", text))):
        return _NoSkeleton(
            "its values are separated by commas or semicolons; SWC separates them with spaces",
            line,
            "Separate the values with single spaces, and write numbers with a decimal point.",
        )
    if len(values) != len(COLUMNS):
        many = f"{len(values)} value{'' if len(values) == 1 else 's'}"
        reason = f"it has {many} where a sample has 7 ({' '.join(COLUMNS)})"
        if len(values) > len(COLUMNS) and re.fullmatch(_SAMPLE, " ".join(values[: len(COLUMNS)])):
            return _NoSkeleton(
                f"{reason}; the first seven are a sample, as in an eSWC file",
                line,
                "Keep the first seven values of every line, and give up the others.",
            )
        return _NoSkeleton(reason, line)
    for name, value in zip(COLUMNS, values, strict=True):
        shown = _shown(value, 40)
        if name in ("id", "type", "parent"):
            if not re.fullmatch(_WHOLE, value):
                return _NoSkeleton(
                    f"its {name} {shown} is no whole number of at most 18 digits", line
                )
            if name == "id" and int(value) < 0:
                return _NoSkeleton(f"its id {shown} is negative", line)
        elif not re.fullmatch(_NUMBER, value) or not math.isfinite(float(value)):
            return _NoSkeleton(f"its {name} {shown} is no finite number with a decimal point", line)
    return _NoSkeleton("it is no sample", line)


def _shown(text: str, longest: int) -> str:
    return repr(text if len(text) <= longest else text[:longest] + "...")


def _is_number(word: str) -> bool:
    word = word.strip("\"'").lower()
    return re.fullmatch(_NUMBER, word) is not None or word.lstrip("+-")[:3] in ("nan", "inf")


def _report(samples: pl.DataFrame) -> SwcReport:
    """Hold the samples to what a skeleton is. Raises `_NoSkeleton`."""
    line, ids, parents = samples["line"], samples["id"], samples["parent"]
    rooted = parents == _ROOT
    own, position = _positions(samples, rooted)
    roots = line.filter(rooted)
    if not len(roots):
        itself = line.filter(ids == parents)
        raise _NoSkeleton(
            "no sample has the parent -1, so the skeleton has no root"
            + ("; this sample is its own parent" if len(itself) else ""),
            itself[0] if len(itself) else None,
        )
    # Parents that are before their children, or have smaller ids, cannot form a circle.
    if not ((position < own) | rooted).all() and not (parents < ids).all():
        lost = samples.filter(~rooted.gather(_ends(position))).head(1)
        if len(lost):
            raise _NoSkeleton(
                f"the parents of sample {lost['id'].item()} go round in a circle and lead to no"
                " root",
                lost["line"].item(),
            )
    repeated = line.filter((samples["place"] == samples["place"].gather(position)) & ~rooted)
    negative = line.filter(samples["negative"])
    squares = pl.sum_horizontal(
        (pl.col(axis) - pl.col(axis).gather(position)) ** 2 for axis in _PLACE
    )
    measured = samples.select(
        pl.col(_PLACE).min().name.prefix("low "),
        pl.col(_PLACE).max().name.prefix("high "),
        squares.sqrt()
        .cast(pl.Float64)
        .sum()
        .alias("length"),  # from parent to child: a root is its own
    )
    *box, length = (float(value) for value in measured.row(0))
    return SwcReport(
        samples=len(samples),
        roots=len(roots),
        other_root=roots[1] if len(roots) > 1 else None,
        repeated=len(repeated),
        first_repeated=repeated[0] if len(repeated) else None,
        negative=len(negative),
        first_negative=negative[0] if len(negative) else None,
        box=tuple(box) if all(math.isfinite(value) for value in box) else None,
        length=length,
    )


def _positions(samples: pl.DataFrame, rooted: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Every sample's own position and its parent's (a root's is its own). Raises `_NoSkeleton` for
    ids that repeat, parents that miss.
    """
    ids, parents = samples["id"], samples["parent"]
    own = pl.int_range(len(samples), dtype=pl.get_index_type(), eager=True)
    order = ids.arg_sort()
    ordered = ids.gather(order)
    if (ordered == ordered.shift(1)).any():
        again = samples.filter(~pl.col("id").is_first_distinct()).head(1)
        number = again["id"].item()
        before = samples.filter(pl.col("id") == number)["line"][0]
        raise _NoSkeleton(f"sample {number} is in line {before} already", again["line"].item())
    at = ordered.search_sorted(parents).clip(0, len(samples) - 1)
    missing = samples.filter((ordered.gather(at) != parents) & ~rooted).head(1)
    if len(missing):
        number, parent = missing["id"].item(), missing["parent"].item()
        raise _NoSkeleton(
            f"sample {number} has the parent {parent}, which is no sample of the file",
            missing["line"].item(),
        )
    return own, order.gather(at).zip_with(~rooted, own)


def _ends(position: pl.Series) -> pl.Series:
    """Where each sample's parents lead: every step doubles how far it has gone, so a path of n
    samples takes log2(n) steps.
    """
    for _ in range(len(position).bit_length()):
        further = position.gather(position)
        if (further == position).all():
            break
        position = further
    return position
