"""What the report's words mean, and what none of its figures holds."""

GLOSSARY = (
    ("Current", "What the service requests today: its capacity in the telemetry."),
    (
        "Target",
        (
            "What the policy would have the service request until the end of the interval. With "
            "the actions keep and none it equals the current request."
        ),
    ),
    (
        "Lower and upper bound",
        (
            "P5 and P95 of the highest usage of the coming interval: in 9 intervals of 10 the peak "
            "should lie between them."
        ),
    ),
    (
        "Exceedance",
        (
            "Calibrated probability that a step of the coming interval uses more than the target; "
            "in other words the share of steps expected above it. Of memory the probability that "
            "the peak is above: one step is enough for a kill."
        ),
    ),
    (
        "Risk",
        (
            "A number from 0 (least) to 4 (most) per service, the highest over its resources. "
            "From 3 on a service counts as at risk."
        ),
    ),
    (
        "Finding",
        (
            "What the current request is: under-provisioned (too small for the usage to come), "
            "over-provisioned (larger than needed), optimized (fits), idle (hardly used at all), "
            "unknown (too little is known to say)."
        ),
    ),
    (
        "Action",
        (
            "Scale up or scale down to the target; keep the current request; none where nothing is "
            "recommended. The reason says why."
        ),
    ),
    (
        "Saving per month (P10 to P90)",
        (
            "What a month of following the policy at every interval would have saved against "
            "keeping today's request, from the last weeks, at the prices named above; negative "
            "means that it costs more. In 8 cases of 10 it should lie between P10 and P90. The "
            "range of the fleet is not the sum of the rows' ranges."
        ),
    ),
    ("Event probability", "Probability of a scale event within the forecast horizon."),
    ("Confidence", "Share of the last 14 days in which the service was observed, from 0 to 1."),
    (
        "Drivers",
        (
            "The three inputs that moved the forecast of the exceedance most (SHAP values), and "
            "whether each raises or lowers the risk. Most compare the target with past usage: "
            "max, median (p50) or another percentile over the span that is named, the last value, "
            "or the same part of the day over the last seven days."
        ),
    ),
    (
        "Nothing has been applied",
        (
            "This report only recommends. It has changed no request, limit, replica or node; each "
            "saving is one to come if the targets are set."
        ),
    ),
)
"""Terms and what they mean."""

LIMITS = (
    (
        "Usage is seen only up to the present limit. A service that was throttled or killed there "
        "would have used more, and how much more is not in the data."
    ),
    "A step's value hides shorter peaks within the step.",
    "A release, a campaign or an incident that never happened in the history is not foreseen.",
    (
        "CPU above the request is throttled or borrowed, memory above the limit is killed: the "
        "same exceedance does not hurt alike."
    ),
    (
        "A smaller request becomes money only when nodes are given back; discounts and commitments "
        "outside the price list are not counted."
    ),
)
"""What no figure of the report holds."""
