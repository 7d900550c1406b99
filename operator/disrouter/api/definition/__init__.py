"""The CustomResourceDefinition, generated from the models.

- `crd`  the definition
- `cel`  its rules over fields, worded like those in Python
"""
