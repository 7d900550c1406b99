"""From replies to numbers. Pure, but for `examination`, which asks a model, and `results`, which holds files.

- `examination`     what trained weights answer: must-answer, per scenario, and by probability
- `judgement`       replies to the numbers of an evaluation
- `results`         the files that stage `evaluate` leaves
- `discrimination`  whether an agent parts what it gets right from what it gets wrong
- `calibration`     from the chance of a refusal to competence: measures the table
- `evidence`        what a report is made of
- `policies`        ways to route, per question: right or wrong, and what it costs
- `thresholds`      on confidences, chosen where the right answers are known
- `scores`          every policy on every split
- `self_knowledge`  what agents know of themselves: Tables 1, 5, 6, Figures 4-8
- `bootstrap`       confidence intervals
- `analysis`        everything that a report says
"""
