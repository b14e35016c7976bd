"""Books that keep references and compare none: ask before trying again."""
