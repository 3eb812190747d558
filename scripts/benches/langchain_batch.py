"""langchain's `abatch`, in a process and an environment of its own: `batch.py` says what is measured.

    python langchain_batch.py URL CALLS JOBS PROMPT

prints [wall s, CPU s, most memory in MB] as JSON. Its environment has langchain-openai and no fanin.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time


async def measured(url: str, calls: int, jobs: int, prompt: str) -> list[float]:
    """That many calls, so many at once."""
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        model="m", base_url=f"{url}/v1", api_key="k", max_retries=0, temperature=0.6, max_tokens=2048
    )
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    replies = await model.abatch([prompt] * calls, config={"max_concurrency": jobs})
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    assert all(str(reply.content).endswith("whale") for reply in replies)
    return [wall_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))))
