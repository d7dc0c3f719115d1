"""mmon_ray: the model monitor for Ray Serve.

import mmon_ray

@serve.deployment
@mmon_ray.capture("credit")                    # record what it is asked and what it answers
class Credit: ...

monitor = mmon_ray.Monitor("credit")
baseline = monitor.fit("training.csv", label="default")         # learn what is normal
report = monitor.evaluate(mmon_ray.fold(frame, monitor.zero(baseline.schema)), baseline)
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"

# Each name of `__init__.pyi` is imported when it is first used: a replica that captures must not pay for the analyses.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
