"""What a person configures: `pipeline.yaml`, dataset YAML files and their JSON Schema.

Belongs here: reading, validating and describing configuration. Does not: anything read from a
table.
"""
