"""The process that looks into files for ``verify``: damaged ones may crash the HDF5 library.

``python -m grjca.cache.checking_child`` reads requests, one line of JSON each, and answers each
with another. A request has ``root`` and ``path`` of a clip's file; or ``path`` of a shard, whose
clips are told, and with ``clip`` one of them, which is looked into.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from grjca.cache.checking import check_clip
from grjca.cache.checking_shards import check_packed, check_shard
from grjca.cache.open_files import OpenShards

_MEMORY_BYTES = 8 << 30


def main() -> None:
    """Answer requests until there are no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or soft > _MEMORY_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    shards = OpenShards(most=1)
    for line in sys.stdin:
        request = json.loads(line)
        path = Path(request["path"])
        if "clip" in request:
            answer = asdict(check_packed(shards, path, request["clip"]))
        elif request.get("shard"):
            answer = asdict(check_shard(shards, path))
        else:
            answer = asdict(check_clip(Path(request["root"]), path))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
