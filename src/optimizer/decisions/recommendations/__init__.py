"""From requests to recommendations: action, finding, risk, money, reason, replicas."""
