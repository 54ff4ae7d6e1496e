"""Data sets and the transforms that turn them into clips; the only place where file category ids are mapped."""
