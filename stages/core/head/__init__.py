"""Heads: what each offers (`protocol`), which exist (`registry`), their training, their losses, their files."""
