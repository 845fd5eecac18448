"""Design: designers, ideation, drafts, references, refining, edits, composing from a sketch."""
