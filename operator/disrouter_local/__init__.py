"""The same control plane on one machine: an on-disk store, and a node that runs pods as processes.

- `store`, `merge`, `folder`                  the `Kube` protocol over a folder of JSON files
- `deployments`, `jobs`, `garbage`            what a cluster's own controllers do, for the store
- `kserve`                                    stand-in for KServe: InferenceService -> Deployment, Service, status
- `kubelet`, `pod`, `container`, `probes`     Pods: what should run, what runs, how it is
- `podspec`, `volumes`, `engines`             a container as a command of this machine
- `process`, `guard`                          one supervised process that cannot outlive the runtime
- `proxy`, `ports`                            Services as forwarders on stable loopback ports
- `node`                                      the loop over the four above
- `runtime`, `state`                          store + operator's pass + node: what `disrouter up` runs, and where
- `cluster`                                   the same node against a real API server
- `transformers_serve`                        the engine where vLLM is not installed

`guard`, `transformers_serve`, `cluster` and the package itself are programs; everything else is imported.
"""
