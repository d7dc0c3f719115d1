"""Monitors: what is watched, against which baseline, and when it alarms."""
