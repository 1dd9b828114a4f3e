"""What is planted on purpose: files that cannot be used, near duplicates, pictures that are no paintings."""
