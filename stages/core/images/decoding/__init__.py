"""Decode untrusted bytes in separate processes, limited in memory, time and open files."""
