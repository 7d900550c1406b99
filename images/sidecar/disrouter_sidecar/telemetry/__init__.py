"""Metrics, logs and traces.

- `metrics`            what is counted, with bounded labels
- `prometheus_text`    counters and histograms for one thread, and their text
- `logs`               one JSON object per line
- `line_template`      lines of which nearly all is known before
- `background_writer`  a descriptor that a thread of its own writes to
- `decisions`          the latest requests' log fields, for whoever asks why
- `tracing`            OpenTelemetry spans
"""
