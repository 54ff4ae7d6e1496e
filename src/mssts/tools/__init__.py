"""Commands beside the main verbs: weight conversion, benchmark, golden checks, demo."""
