"""Scores with their uncertainty, for whoever scores a head: `evaluate`, `score` and `compare`."""
