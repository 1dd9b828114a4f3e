"""Score heads under a published protocol: several seeds, leaks counted, intervals, tables to cite.

In: `data/features/`, `data/splits.csv`. Out: `reports/scores/PROTOCOL/`, as JSON, Markdown and LaTeX.
"""
