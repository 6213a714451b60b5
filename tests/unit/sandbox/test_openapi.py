"""The sandbox against its own OpenAPI: whatever the schema allows, and much that it does not, is
answered as the schema says.

Belongs here: requests that schemathesis generates. Does not: those we thought of.
"""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from syndb_pipeline.sandbox.backend import Limits
from syndb_pipeline.sandbox.faults import Faults
from syndb_pipeline.sandbox.serve import build_api
from tests import campaigns
from tests.rest_lab import ADA, Sandbox

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
API = schemathesis.openapi.from_dict(build_api(Faults(lambda *_: False), Limits()).openapi())
"""Every route but the one that would end the token of the others."""


@pytest.fixture(scope="session")
def token(sandbox: Sandbox) -> str:
    return sandbox.token(ADA)


@API.exclude(path="/user/auth/native/logout").parametrize()
@seed(campaigns.SEED)
@settings(
    max_examples=campaigns.examples(6, 200),
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_schema_says(case: Case, sandbox: Sandbox, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    case.call_and_validate(base_url=sandbox.url, checks=CHECKS, headers=headers)
