"""Books that keep no reference and find nothing: one attempt, then a person."""
