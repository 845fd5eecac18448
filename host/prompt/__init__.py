"""Prompts: timetables as graphs and windows, tokens, binding, the published HieraFashDiff loops."""
