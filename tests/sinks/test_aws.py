"""CloudWatch and SNS over HTTP: SageMaker Model Monitor's names and dimensions, what is not published, and failures
that are kept."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone

import boto3
import numpy as np
import orjson
import pandas as pd
import pytest

from mmon_ray import CloudWatch, InputError, Metric, Monitor, Report, Sns, run
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.runs import load_run
from mmon_ray.core.report import Constraint, Violation
from mmon_ray.core.window import Window
from mmon_ray.errors import MonitorError
from mmon_ray.sinks.sink import deliver
from mmon_ray.storage.store import Store
from tests.conftest import free_port
from tests.labels.test_labels import capture

HOUR = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(
    hours=2
)  # CloudWatch forgets what is old
WINDOW = Window.hour(HOUR)
METRICS = (
    Metric("completeness", 0.9, "age"),
    Metric("distinct", 61.0, "age"),
    Metric("mean", 40.0, "age"),
    Metric("min", 18.0, "age"),
    Metric("max", 80.0, "age"),
    Metric("ks", 0.25, "age"),
    Metric("linf", math.inf, "city"),
    Metric("f1", 0.75, "income"),
    Metric("auc", math.nan, "income", status="undefined"),
    Metric("row_anomalies", 0.02),
)
BAD = Violation(Constraint("ks", "age", upper=0.1), METRICS[5], "`age` is distributed differently", 0.001)


def report(endpoint: str) -> Report:
    return Report(endpoint, WINDOW, 1_000, METRICS, violations=(BAD,))


def listed(namespace: str) -> set[str]:
    pages = boto3.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace=namespace)
    return {one["MetricName"] for page in pages for one in page["Metrics"]}


def published(namespace: str, endpoint: str) -> dict[str, dict]:
    client = boto3.client("cloudwatch")
    found = {}
    for page in client.get_paginator("list_metrics").paginate(Namespace=namespace):
        for one in page["Metrics"]:
            names = {each["Name"]: each["Value"] for each in one["Dimensions"]}
            if names.get("Endpoint") == endpoint:
                answer = client.get_metric_statistics(
                    Namespace=namespace,
                    MetricName=one["MetricName"],
                    Dimensions=one["Dimensions"],
                    StartTime=HOUR - timedelta(minutes=5),
                    EndTime=HOUR + timedelta(minutes=5),
                    Period=60,
                    Statistics=["Sum", "SampleCount", "Minimum", "Maximum"],
                )
                found[one["MetricName"]] = {"dimensions": names, "points": answer["Datapoints"]}
    return found


@pytest.mark.usefixtures("s3_endpoint")
def test_metrics_have_the_services_names_and_dimensions() -> None:
    assert deliver(report("cw-names"), [CloudWatch()]) == {}
    data = published("aws/sagemaker/Endpoints/data-metrics", "cw-names")
    assert set(data) == {
        "feature_completeness_age",
        "feature_estimated_unique_values_age",
        "feature_baseline_drift_age",
        "feature_baseline_drift_city",
        "feature_data_age",
        "mmon_row_anomalies",
    }
    assert data["feature_baseline_drift_age"]["dimensions"] == {
        "Endpoint": "cw-names",
        "MonitoringSchedule": "cw-names",
    }
    (point,) = data["feature_baseline_drift_age"]["points"]
    assert point["Sum"] == 0.25
    (point,) = data["feature_baseline_drift_city"]["points"]
    assert point["Sum"] == pytest.approx(2.348543e108)  # infinity, as the service publishes it
    (point,) = data["feature_data_age"]["points"]
    assert (point["Minimum"], point["Maximum"]) == (18.0, 80.0)
    quality = published("aws/sagemaker/Endpoints/model-metrics", "cw-names")
    assert set(quality) == {"f1"}  # what could not be computed is not published


@pytest.mark.usefixtures("s3_endpoint")
def test_many_metrics_are_published_in_parts() -> None:
    many = Report("cw-many", WINDOW, 10, tuple(Metric("ks", 0.1, f"c{number}") for number in range(1_201)))
    assert deliver(many, [CloudWatch("mmon/test")]) == {}
    assert len(listed("mmon/test/data-metrics")) == 1_201


@pytest.mark.usefixtures("s3_endpoint")
def test_alarms_reach_a_topic() -> None:
    topic = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
    queue = boto3.client("sqs").create_queue(QueueName="told")["QueueUrl"]
    arn = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    assert deliver(report("sns"), [Sns(topic)]) == {}
    (message,) = boto3.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    told = json.loads(message["Body"])
    assert told["Subject"].startswith(f"monitor sns, {WINDOW}, 1000 rows: 1 alarm")
    assert told["Message"].splitlines()[1] == "- `age` is distributed differently"
    assert told["MessageAttributes"]["status"]["Value"] == "alarm"
    quiet = Report("sns", WINDOW, 5)
    assert deliver(quiet, [Sns(topic)]) == {} and "Messages" not in boto3.client("sqs").receive_message(QueueUrl=queue)


@pytest.mark.usefixtures("s3_endpoint")
def test_what_aws_refuses_is_one_sentence() -> None:
    with pytest.raises(MonitorError, match=r"AWS could not be told: .*NotFound"):
        Sns("arn:aws:sns:us-east-1:123456789012:nobody").send(report("x"))
    with pytest.raises(InputError, match="'alarms' is no topic; write its ARN"):
        Sns("alarms")


def test_an_alarm_that_could_not_be_told_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmon_ray import Webhook

    monitor = Monitor("credit", sinks=(Webhook(f"http://127.0.0.1:{free_port()}/", attempts=1),))
    save_baseline(store, monitor.fit(pd.DataFrame({"age": 500 + np.arange(500) % 50, "prediction": 0.5})))
    capture(store, 300, HOUR)
    result = run(monitor, WINDOW, store)
    assert result.status == "alarm"
    record = load_run(store, "credit", WINDOW)
    assert record is not None and "webhook" in record.sinks and record.status == "alarm"
    letter = orjson.loads(store.get(f"deadletters/credit/{WINDOW.name}-webhook.json"))
    assert letter["error"] == record.sinks["webhook"]
    assert letter["alarm"]["monitor"] == "credit" and "`age` has moved" in letter["alarm"]["text"]
