"""The tables that the stages hand to one another: how they are read and written, and what their columns mean."""
