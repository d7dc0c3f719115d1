"""An own container's script as it runs in SageMaker Model Monitor: how unlike the training texts are those that the
model is asked?

It knows nothing of mmon_ray and needs only Python. A text's score is the mean cosine between its letter trigrams and
those of each training text; a text below THRESHOLD is a violation.
"""

# ruff: noqa: SIM112  the service's variables are in small letters
import json
import math
import os
from collections import Counter
from pathlib import Path


def vector(text: str) -> dict[str, float]:
    padded = f" {text.lower()} "
    counts = Counter(padded[place : place + 3] for place in range(len(padded) - 2))
    length = math.sqrt(sum(count * count for count in counts.values())) or 1.0
    return {gram: count / length for gram, count in counts.items()}


def main() -> None:
    training = [vector(line) for line in (Path(__file__).parent / "training.txt").read_text().splitlines()]
    mean = Counter()  # the mean over all texts of the cosine is the cosine with their mean vector
    for one in training:
        mean.update({gram: share / len(training) for gram, share in one.items()})
    threshold = float(os.environ.get("THRESHOLD", "nan"))
    names = {name: os.environ[f"sagemaker_{name}"] for name in ("endpoint_name", "monitoring_schedule_name")}
    scores, violations = [], []
    for path in sorted(Path(os.environ["dataset_source"]).rglob("*.jsonl")):
        for line in path.read_text().splitlines():
            for text in json.loads(json.loads(line)["captureData"]["endpointInput"]["data"]):
                score = sum(share * mean[gram] for gram, share in vector(text).items())
                scores.append(score)
                if score < threshold:
                    entry = {"sentence": text, "avg_cosine_score": score, "feature_name": "sent_cosine_score"}
                    violations.append({**entry, "constraint_check_type": "baseline_drift_check", **names})
    if violations:
        (Path(os.environ["output_path"]) / "constraints_violations.json").write_text(
            json.dumps({"violations": violations})
        )
    metrics = Path(os.environ.get("cloudwatch_metrics_path", "/opt/ml/output/metrics/cloudwatch"))
    metrics.mkdir(parents=True, exist_ok=True)
    dimensions = [{"Name": "Endpoint", "Value": names["endpoint_name"]}]
    numbers = {"mean_cosine": sum(scores) / max(1, len(scores)), "texts": len(scores)}
    lines = [
        {"MetricName": name, "Value": value, "Timestamp": os.environ["end_time"], "Dimensions": dimensions}
        for name, value in numbers.items()
    ]
    (metrics / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status = "CompletedWithViolations" if violations else "Completed"
    message = Path(os.environ.get("exit_message_path", "/opt/ml/output/message"))
    message.write_text(f"{status}: Job completed successfully with {len(violations) or 'no'} violations.")


if __name__ == "__main__":
    main()
