"""Mesh (glb) and skeleton (swc) files that table rows name.

Belongs here: whether such a file is what it claims, and its extent. Does not: the findings about it
(`checks/units`).
"""
