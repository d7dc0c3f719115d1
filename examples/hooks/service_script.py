"""Pre- and post-processing of SageMaker Model Monitor, as they run there: nothing of mmon_ray is in this file."""

import json
import os


def preprocess_handler(inference_record, logger):
    given, answer = inference_record.endpoint_input, inference_record.endpoint_output
    if given.encoding != "CSV":
        logger.warning("%s is no CSV", inference_record.event_metadata.event_id)
        return []
    values = [answer.data.rstrip("\n"), *given.data.rstrip("\n").split(",")]
    return {str(place).zfill(20): value for place, value in enumerate(values)}


def postprocess_handler():
    folder = os.environ["output_path"]  # noqa: SIM112  the service's name
    found = os.path.join(folder, "constraint_violations.json")
    if not os.path.exists(found):
        return
    with open(found) as file:
        violations = json.load(file)["violations"]
    with open(os.path.join(folder, "summary.txt"), "w") as file:
        file.writelines(f"{one['feature_name']}: {one['constraint_check_type']}\n" for one in violations)
