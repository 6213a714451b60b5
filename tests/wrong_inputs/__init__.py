"""A small wrong dataset for every rule of the catalogue.

Belongs here: all of them by code. Does not: what a right dataset looks like.
"""

from __future__ import annotations

from tests.wrong_inputs.files_beside import FILES_BESIDE
from tests.wrong_inputs.keys import KEYS, RELATIONS, WHOLE
from tests.wrong_inputs.reading import COLUMNS, READING
from tests.wrong_inputs.values import VALUES
from tests.wrong_inputs.wrong_input import WrongInput

INPUTS: tuple[WrongInput, ...] = (
    *READING,
    *COLUMNS,
    *VALUES,
    *FILES_BESIDE,
    *KEYS,
    *RELATIONS,
    *WHOLE,
)
