"""An evaluation as text, JSON, one HTML page and figures.

- `command`  command `report`: agents evaluated alone, judged together as a cascade
- `tables`   aligned text for people, JSON for machines
- `figures`  the paper's figures, as PNG
- `page`     one HTML file that needs nothing else
- `output`   all of them in a folder
"""
