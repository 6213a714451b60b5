"""The demo lab's two dataset configs, with a comment at everything they show.

Belongs here: YAML text. Does not: the files it names (`writer.py`).
"""

from __future__ import annotations

CLEAN_ID = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11"
ERRORS_ID = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a12"

_CONFIG = """\
# yaml-language-server: $schema=dataset.schema.json
# {title}
# Every file named here lies beside this one. Nothing in it was measured: `syndb-pipeline demo` invents it.

dataset:
  id: {id}     # `syndb-pipeline init` writes a new one for your own data
  label: {label}
  notes: Six invented neurons of mouse cortex, from the demo of syndb-pipeline.
  license: CC0                      # ODC_BY is the default; SPDX names such as CC-BY-4.0 are understood too
  animal: MUS_MUSCULUS
  microscopy: serial section TEM
  brain_regions:
    - {{structure: primary visual cortex, direction: "null"}}

tables:
  neuron: {{file: neuron.csv}}        # keys are 64 bit ids: they are read as text, never as numbers
  neuron_relation:
    file: connections.csv
    columns: {{pre_id: pre_synapse_id, post_id: post_synapse_id}}   # the lab's name -> SynDB's name
    ignore: [comment]               # left out on purpose; any other unknown column would be an error
    combine: {{connection_score: sum}}                              # the lab lists a pair once for each of its synapses
  dendrite: {{file: dendrite.csv}}
  axon: {{file: axon.parquet}}
  pre_synaptic_terminal: {{file: terminals.tsv}}
  synapse:
    file: synapse.parquet
    columns: {{pre_terminal: pre_synapse_id, post_spine: post_synapse_id}}
  dendritic_spine: {{file: spines.xlsx}}
  vesicle:
{vesicle}
    units: {{voxel_radius: um}}       # converted to nanometres
    missing: ["-1"]                 # what this lab writes for "not measured"
  mitochondria:
    file: organelles.xlsx
    sheet: Mitochondria
    parent: axon                    # may be left out here: only axon.parquet holds these keys
  endoplasmic_reticulum:
{reticulum}
  nucleus: {{file: nucleus.csv}}

terms:                              # SynDB's terms, accepted by a person
  accepted_by: Demo Person
  accepted_on: 2026-01-01
  accurate: true
  redistributable: true
  license_agreed: true

publish:
  destination: local                # the SynDB node that comes with the pipeline, in a folder of this machine
  approval: standing                # Demo Person consents to unattended runs; `manual` asks for each plan
"""


def clean_config() -> str:
    """The config of the lab as it is."""
    return _CONFIG.format(
        title="The demo lab: all eleven tables of SynDB, in csv, tsv, xlsx and parquet.",
        id=CLEAN_ID,
        label="Demo lab",
        vesicle=(
            "    file: organelles.xlsx\n    sheet: Vesicles                 # required, because the"
            " workbook has two sheets"
        ),
        reticulum=(
            "    file: er.csv                    # semicolons, found by itself\n"
            '    decimal: ","                    # 0,5 instead of 0.5, which must be said'
        ),
    )


def errors_config() -> str:
    """The same lab with two files replaced by ones that hold deliberate mistakes; the pipeline
    refuses it and says why.
    """
    return _CONFIG.format(
        title=(
            "The demo lab with mistakes: what the pipeline says about vesicles_with_mistakes.csv"
            " and er_with_unknown_column.csv."
        ),
        id=ERRORS_ID,
        label="Demo lab with mistakes",
        vesicle="    file: vesicles_with_mistakes.csv",
        reticulum="    file: er_with_unknown_column.csv",
    )
