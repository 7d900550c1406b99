"""One pod as processes of this machine.

- `pod`                 its life: prepare, run, report, stop
- `podspec`             its containers as commands
- `container`           one container: start, probe, restart, stop
- `probes`              startup, readiness, liveness
- `process`             one supervised process
- `guard`               lets nothing outlive the runtime
- `volumes`             mount paths as folders
- `engines`             vLLM where it is installed, else transformers
- `transformers_serve`  the engine where vLLM is not installed
"""
