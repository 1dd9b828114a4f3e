"""The report: pages that show how good the heads are and which artworks do not fit.

In: the files of all other stages. Out: `reports/index.html`, `reports/data.html`, `reports/map.html` and
`reports/pages/TARGET.html`, each a self-contained file. Computing the numbers is left to the other stages.
"""
