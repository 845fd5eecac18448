"""Prompts: texts, phrases, vocabulary, timetables and their pictures."""
