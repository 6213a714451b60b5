"""Reading a lab's files: text, workbooks and Parquet, as tables whose every cell is still what the
lab wrote.

Belongs here: file formats, headers and the casts into SynDB's types. Does not: rules about values,
keys or relations.
"""
