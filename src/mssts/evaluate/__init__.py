"""Video AP: the official YouTube-VIS numbers of a model or of a results file."""
