"""Upkeep: what happens around the heart: a person's actions, a dead worker's tasks."""
