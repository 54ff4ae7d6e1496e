"""What is minimised in training: matcher, criterion, adversarial game."""
