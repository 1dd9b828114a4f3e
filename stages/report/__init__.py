"""The report: pages that a person opens to see how good the heads are and which artworks do not fit.

In: the files of all other stages. Out: `reports/index.html`, `reports/data.html`, `reports/map.html` and
`reports/pages/TARGET.html`, each complete in itself. What the numbers mean is decided by the stages that wrote them.
"""
