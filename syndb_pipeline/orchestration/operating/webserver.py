"""Dagster's webserver with one more address: the HTML report of a dataset, at `/reports/<id>`.

Belongs here: serving reports. Does not: anything else of the UI, nor any import of ours: it is run
by its path (`up.py`), and so does not load the definitions.

Use: webserver.py STATE_FOLDER OPTIONS_OF_DAGSTER_WEBSERVER...
"""

import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from dagster._grpc import server_watcher
from dagster_webserver import app, cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups;"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""A report shows what a lab wrote. It has no scripts; here none could run, nor ask the UI."""


def serve_reports(state: Path) -> type[DagsterWebserver]:  # type: ignore[type-arg]
    """Dagster's webserver, with the reports of the datasets below the folder `state`."""

    async def report(request: Request) -> Response:
        dataset: UUID = request.path_params["dataset"]
        file = state / "datasets" / str(dataset) / "report" / "report.html"
        if not file.is_file():
            return PlainTextResponse(
                f"There is no report of dataset {dataset} yet: check_integrity writes it.\n", 404
            )
        return FileResponse(file, media_type="text/html", headers=_HEADERS)

    class WithReports(DagsterWebserver):  # type: ignore[type-arg]
        def build_routes(self) -> list[Any]:
            usual = super().build_routes()  # type: ignore[no-untyped-call]
            return [Route("/reports/{dataset:uuid}", report), *usual]

    return WithReports


if __name__ == "__main__":
    server_watcher.WATCH_INTERVAL = 5  # as in `daemon.py`
    app.DagsterWebserver = serve_reports(Path(sys.argv.pop(1)))  # type: ignore[attr-defined]
    cli.main()  # type: ignore[no-untyped-call]
