"""The decorator on one's own deployment: `serve run examples.serve_app:app`, then POST {"income": 5200, "age": 41} to
it.

Requests and answers go to ~/.mmon (MMON_STORE names another folder or s3://bucket/prefix). Then:

    mmon baseline credit training.csv --label default
    mmon run credit
"""

from __future__ import annotations

from ray import serve
from starlette.requests import Request

import mmon_ray


@serve.deployment
@mmon_ray.capture("credit")
class Credit:
    async def __call__(self, request: Request) -> dict[str, float]:
        applicant = await request.json()
        return {"score": min(1.0, applicant["income"] / 10_000)}


app = Credit.bind()
