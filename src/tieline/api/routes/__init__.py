"""The addresses of /v1, one module per subject."""
