"""Learned routers to compare with, as the paper describes them (section 4.1, Appendix F).

All learn from the same training questions and choose everything (which text model, thresholds, learning rates) on the
same dev questions, for each scenario. None sees a test question before it routes it.

What takes time (fitting) gives arrays, which are kept; what routes by them is pure.
"""
