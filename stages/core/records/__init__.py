"""The chain of digests: every file that a later stage reads is bound to what it was made from and to its own bytes."""
