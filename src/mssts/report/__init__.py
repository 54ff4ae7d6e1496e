"""One self-contained HTML page that tells how good results are, and where they fail."""
