# Rules that check, plan and publish one dataset with syndb-pipeline. Use them from a workflow of your
# own: docs/snakemake.md. They keep no state of their own: the command line, the Dagster UI and these
# rules see the same dataset.
#
# config:
#   dataset   the dataset's YAML
#   results   folder for report, plan and receipt; results/syndb when left out
#   inputs    more files that it is made from, e.g. meshes
#   approve   the approved plan's digest, where the dataset has no standing approval
#   program   how syndb-pipeline is called, where it is in another environment

import glob
import shlex
from pathlib import Path

import yaml

DATASET = Path(config["dataset"])
RESULTS = config.get("results", "results/syndb")
PROGRAM = config.get("program", "syndb-pipeline")


def tables(wildcards):
    """The files that the dataset's YAML names, so that the rules which make them run first, and
    corrections. A glob stands for the files that are there; name files that a rule makes below
    `inputs` too.
    """
    named = yaml.safe_load(DATASET.read_text(encoding="utf-8"))["tables"].values()
    paths = [str(DATASET.parent / str(table["file"])) for table in named]
    globs = {path: glob.glob(path, recursive=True) for path in paths if glob.has_magic(path)}
    files = [file for path in paths for file in globs.get(path, [path])]
    corrections = glob.glob(str(DATASET.parent / "corrections" / "*.csv"))
    return sorted({*files, *corrections, *config.get("inputs", [])})


# Snakemake removes the output of a failed rule and keeps its logs: a report on rejected data is a log.
rule check:
    input:
        dataset=str(DATASET),
        tables=tables,
    output:
        f"{RESULTS}/check.json",
    log:
        text=f"{RESULTS}/check.log",
        html=f"{RESULTS}/report.html",
    params:
        program=PROGRAM,
    shell:
        """
        code=0
        {params.program} check {input.dataset:q} > {log.text:q} 2>&1 || code=$?
        {params.program} report {input.dataset:q} --html {log.html:q} --json {output:q} \
            >> {log.text:q} 2>&1 || code=$((code ? code : $?))
        test $code -eq 0 || cat {log.text:q} >&2
        exit $code
        """


rule plan:
    input:
        dataset=str(DATASET),
        checked=rules.check.output,
    output:
        f"{RESULTS}/plan.json",
    log:
        f"{RESULTS}/plan.log",
    params:
        program=PROGRAM,
    shell:
        "{params.program} plan {input.dataset:q} --json > {output:q} 2> {log:q}"


# A plan that was published is not sent again: running this rule twice shows the receipt twice. Exit
# codes 5, 6 and 7 are no fault of the data (README.md), and the same command goes on.
rule publish:
    input:
        dataset=str(DATASET),
        plan=rules.plan.output,
    output:
        f"{RESULTS}/receipt.json",
    log:
        f"{RESULTS}/publish.log",
    params:
        program=PROGRAM,
        approve=shlex.join(["--approve", str(config["approve"])]) if config.get("approve") else "",
    shell:
        """
        {params.program} publish {input.dataset:q} {params.approve} --json > {output:q} 2> {log:q} \
            || {{ code=$?; cat {log:q} >&2; exit $code; }}
        """
