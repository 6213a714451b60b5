"""What happens without a person at the screen: sensors, schedules, lost runs, decisions.

Belongs here: what starts runs, closes them or reports on them. Does not: what a run does.
"""
