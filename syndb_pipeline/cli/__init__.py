"""The command line: thin commands over the other rooms, and what they print.

Belongs here: arguments, prompts and terminal output. Does not: the work itself.
"""
