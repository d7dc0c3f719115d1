"""A composed application that knows nothing of mmon_ray; composed.yaml serves it captured:
`serve run examples/composed.yaml`.

    mmon capture --target examples.composed:app --endpoint credit > examples/composed.yaml     # how that file was made

POST {"income": 5200, "age": 41} to /score: Api, Features and Model each record it, under one request id. So when the
answers drift, the records say which node the change began in.
"""

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

api = FastAPI()


class Applicant(BaseModel):
    income: float
    age: int


@serve.deployment
def features(applicant: dict[str, float]) -> list[float]:
    return [applicant["income"] / 10_000, applicant["age"] / 100]


@serve.deployment
class Model:
    def predict(self, row: list[float]) -> float:
        return min(1.0, 0.9 * row[0] + 0.1 * row[1])


@serve.deployment
@serve.ingress(api)
class Api:
    def __init__(self, features: DeploymentHandle, model: DeploymentHandle) -> None:
        self.features, self.model = features, model

    @api.post("/score")
    async def score(self, applicant: Applicant) -> dict[str, float]:
        row = await self.features.remote(applicant.model_dump())
        return {"score": await self.model.predict.remote(row)}


app = Api.bind(features.bind(), Model.bind())
