"""Learned routers to compare with, as the paper describes them (section 4.1, Appendix F).

All learn from the same training questions. On the same dev questions they choose, for each scenario, which text model,
which agents and which thresholds; networks also stop where the loss on dev is least, each after a patience of its own.
Learning rates are fixed in the code, but for GraphRouter's, which is chosen on dev among two. None sees a test question
before it routes it.

What takes time (fitting) gives arrays, which are kept; what routes by them is pure.

- `automix`         AutoMix: each agent verifies its own answer
- `forc`            FORC: predicted score per model
- `frugalgpt`       FrugalGPT: a scorer decides where to stop
- `graphrouter`     GraphRouter: a graph of tasks, queries and models
- `routellm`        RouteLLM: a classifier names the smallest capable model
- `predictors`      does this base model answer this question right?
- `stepping`        cascades that look at a confidence, and stop or go on
- `training_data`   what baselines learn from, and what one is
- `text`            text models: what they are
- `lexical`         text models of scikit-learn
- `encoder`         text models of torch
- `early_stopping`  the weights of the epoch that is best on dev
"""
