"""The rival: the least that creates the same objects. It watches, copies, posts, and knows nothing else.

    KUBECONFIG=... python -m bench.operator_scale.watch_loop NAMESPACE

No status, no drift, no ownership, no retry, no deletion: a floor for the cost of the creations themselves.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from bench.operator_scale.cascades import cascade, children
from disrouter_operator.kube.resources import CASCADES, Object, resource_of

WORKERS = 4
"""As many as the operator has."""
_TEMPLATE_NAME = "template-name"


async def main(namespace: str, template: str) -> None:
    """Create children for every cascade that is there or comes."""
    configuration = Configuration()
    await config.load_kube_config(client_configuration=configuration)
    headers = {"Authorization": await configuration.get_api_key_with_prefix("BearerToken")}
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=configuration.ssl_ca_cert))
    queue: asyncio.Queue[Object] = asyncio.Queue()
    async with (
        aiohttp.ClientSession(configuration.host, headers=headers, connector=connector) as http,
        asyncio.TaskGroup() as group,
    ):
        print("up", flush=True)
        group.create_task(watch(http, namespace, queue))
        for _ in range(WORKERS):
            group.create_task(work(http, namespace, queue, template))


async def watch(http: aiohttp.ClientSession, namespace: str, queue: asyncio.Queue[Object]) -> None:
    """List, then stream."""
    path = f"/apis/{CASCADES.api_version}/namespaces/{namespace}/{CASCADES.plural}"
    async with http.get(path) as response:
        found = await response.json()
    for item in found["items"]:
        queue.put_nowait(item)
    query = {"watch": "true", "resourceVersion": found["metadata"]["resourceVersion"]}
    async with http.get(path, params=query, timeout=aiohttp.ClientTimeout(total=None)) as response:
        async for line in response.content:
            event = json.loads(line)
            if event["type"] == "ADDED":
                queue.put_nowait(event["object"])


async def work(http: aiohttp.ClientSession, namespace: str, queue: asyncio.Queue[Object], template: str) -> None:
    """Post the children of one cascade after the other."""
    while True:
        metadata = (await queue.get())["metadata"]
        text = template.replace(_TEMPLATE_NAME, metadata["name"]).replace("template-uid", metadata["uid"])
        for child in json.loads(text):
            resource = resource_of(child)
            root = f"/apis/{resource.group}" if resource.group else "/api"
            path = f"{root}/{resource.version}/namespaces/{namespace}/{resource.plural}"
            async with http.post(path, json=child) as response:
                answer = await response.text()
                if response.status != 201:
                    raise SystemExit(f"{resource.kind} of {metadata['name']}: {answer}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.dumps(children(cascade(sys.argv[1], _TEMPLATE_NAME), "template-uid"))))
