"""A dataset checked, planned and published every night, as a DAG of Airflow 3.

Put this file into the DAGs folder. syndb-pipeline may be in an environment of its own, for Airflow
pins libraries that it needs in other versions: SYNDB_PIPELINE says where its program is, and
SYNDB_DATASET where the dataset's YAML is. What may succeed later is tried again; data that are
rejected, and a plan that nobody approved, fail at once, with the reason in the task's log.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, Context, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

PROGRAM = os.environ.get("SYNDB_PIPELINE", "syndb-pipeline")
DATASET = os.environ.get("SYNDB_DATASET", "dataset.yaml")

TRY_AGAIN = {1, 5, 6, 7, 130}
"""Exit codes of what a later try may put right: a fault of the machine, a destination that is down,
an answer that did not come, another run of the dataset, a worker that was stopped. After each of
them the same command goes on, and sends nothing twice.
"""


class SyndbOperator(BaseOperator):
    """Runs one command of syndb-pipeline on the dataset."""

    template_fields = ("arguments",)

    def __init__(self, *, arguments: list[str], **rest: object) -> None:
        super().__init__(**rest)
        self.arguments = arguments
        self.hook = SubprocessHook()

    def execute(self, context: Context) -> None:
        command, *options = (each for each in self.arguments if each)
        folder = str(Path(DATASET).absolute().parent)
        done = self.hook.run_command([PROGRAM, command, DATASET, *options], cwd=folder)
        if done.exit_code:
            error = AirflowException if done.exit_code in TRY_AGAIN else AirflowFailException
            raise error(f"syndb-pipeline {command} ended with {done.exit_code}; see the log above.")

    def on_kill(self) -> None:
        self.hook.send_sigterm()


with DAG(
    "syndb",
    schedule="0 2 * * *",
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 6,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=6),
    },
    # Without standing approval in the dataset's YAML: read the log of `plan`, then trigger the DAG
    # with the digest that is printed there.
    params={"approve": Param("", type="string", title="Digest of the approved plan")},
) as dag:
    approve = "{{ '--approve=' ~ params.approve if params.approve else '' }}"
    check = SyndbOperator(task_id="check", arguments=["check"])
    plan = SyndbOperator(task_id="plan", arguments=["plan"])
    publish = SyndbOperator(task_id="publish", arguments=["publish", approve])
    check >> plan >> publish
