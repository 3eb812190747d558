"""What is known of an account and model, as facts for people and for JSON. Pure."""

from __future__ import annotations

import math
from typing import Any

from fanin.policy.pacing.mirror import Bucket
from fanin.policy.pacing.pace import Pace
from fanin.policy.pacing.probing import Probe
from fanin.sharing.joint import Joint, present

LATELY_S = 10.0
"""Whose line is counted: those that looked so lately."""


def facts(joint: Joint, now_s: float) -> dict[str, Any]:
    """Of one account and model; durations in seconds, numbers finite, None for what is not known.

    `limits` has for each: `name`, `counts` (`requests`, `tokens`), `burst`, `per_s`, `left` and `from`:
    `user`, `header`, `refusal` (its text) or `probing`.
    """
    pace = joint.booked.whole
    lately = [m for m in present(joint.members, now_s) if now_s - m.seen_s <= LATELY_S]
    return {
        "account": joint.account,
        "model": joint.model,
        "limits": [_limit(bucket, now_s) for bucket in pace.buckets]
        + [_probed(probe, now_s) for probe in pace.probes if probe.phase != "start" or not pace.buckets],
        "stagger_s": pace.stagger_s,
        "closed_s": _wait(pace, now_s),
        "delay_s": round(pace.gate.delay_s, 3),
        "sent": pace.count,
        "processes": len(lately),
        "waiting": sum(member.waiting for member in lately),
        "refusals": [
            {"ago_s": round(now_s - refused.at_s, 1), "told_s": refused.wait_s, "counts": refused.unit}
            for refused in joint.refusals
        ],
    }


def _wait(pace: Pace, now_s: float) -> float:
    return round(max(0.0, pace.gate.until_s - now_s), 3)


def _limit(bucket: Bucket, now_s: float) -> dict[str, Any]:
    limit = bucket.limit
    return {
        "name": limit.name,
        "counts": limit.unit,
        "burst": limit.size,
        "per_s": round(limit.rate, 4),
        "left": round(bucket.level(now_s), 1),
        "from": "user" if limit.given else "header",
    }


def _probed(probe: Probe, now_s: float) -> dict[str, Any]:
    told = probe.last is not None and probe.last.limit is not None
    level = probe.level(now_s)
    return {
        "name": f"{probe.unit}, {'found' if probe.phase == 'hold' else 'being found out'}",
        "counts": probe.unit,
        "burst": round(probe.limit, 1),
        "per_s": round(probe.rate, 4),
        "left": round(level, 1) if math.isfinite(level) else None,
        "from": "refusal" if told else "probing",
    }
