"""The networks that can be a backbone, by name, and the module that turns pixels into feature tokens."""
