"""The workbook of failing rows that a lab corrects and sends back.

Belongs here: writing it. Does not: applying what comes back (`corrections/`).
"""
