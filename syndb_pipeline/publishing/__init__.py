"""Between a package and a destination: the plan, its approval, the journal, the receipt, the
tombstone.

Belongs here: what a person consents to and what is kept of it. Does not: making packages
(`stages/`) or wire formats (`destinations/`).
"""
