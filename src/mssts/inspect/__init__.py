"""What goes on inside a model while it works, frame by frame."""
