"""What is planted on purpose: files that cannot be used, and pictures that are no paintings."""
