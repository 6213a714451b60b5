"""`python -m syndb_pipeline`: the same as the command `syndb-pipeline`.

Belongs here: nothing else. Does not: commands (`cli/main.py`).
"""

from syndb_pipeline.cli.main import main

if __name__ == "__main__":
    main()
