"""Books that know a reference again and answer it as they did the first time."""
