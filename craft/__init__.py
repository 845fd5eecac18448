"""What needs no network: timetables, phrases, body parts, masks, geometry, contact sheets."""
