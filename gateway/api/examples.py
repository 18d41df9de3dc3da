"""Examples of the OpenAPI document. Synthetic; the tests send them."""

from typing import Any

CONSENT: dict[str, Any] = {
    "subject": "GLA-7Q2M",
    "given": {
        "at": "2026-01-12T10:30:00+00:00",
        "method": "through-interpreter",
        "recorded_by": "Support worker 12",
        "wording_version": "2026-01",
    },
    "permits": [
        {
            "recipients": ["glasgow-housing"],
            "purposes": ["housing"],
            "categories": ["request", "identity", "communication", "contact", "housing", "safety", "message"],
        }
    ],
    "ends_at": "2036-04-12T00:00:00+00:00",
}

REFERRAL: dict[str, Any] = {
    "subject": "GLA-7Q2M",
    "consent": "con_00000000000000000",
    "area": "glasgow",
    "urgency": "stat",
    "referrer": {
        "service": "Women's hub, Glasgow",
        "worker": {"name": "Support worker 12", "phone": "0141 496 0000"},
    },
    "person": {
        "name": {"given": "Example", "family": "Person"},
        "birth_date": "1994-05-17",
        "language": {"preferred": "ro", "interpreter_needed": True},
    },
    "contact": {
        "phone": {
            "number": "07700 900123",
            "safe_to_call": True,
            "safe_to_text": False,
            "safe_to_leave_voicemail": False,
            "caller_may_say": "Say you are calling about a parcel.",
        }
    },
    "housing": {"situation": "accommodation-tied-to-exploitation", "areas_to_avoid": ["Example Street"]},
    "requests": [{"agency": "glasgow-housing", "purpose": "housing", "ask": "A safe place to stay tonight."}],
}

CONTACT: dict[str, Any] = {
    "phone": {
        "number": "07700 900456",
        "safe_to_call": True,
        "safe_to_text": True,
        "safe_to_leave_voicemail": False,
        "safe_times": "Weekdays 10:00 to 14:00",
    },
    "who_must_not_know": ["Her former partner"],
}

BASIS: dict[str, Any] = {
    "subject": "GLA-7Q2M",
    "basis": "vital-interests",
    "reason": "She is unconscious in hospital and cannot be asked; the ward needs to know what she was given.",
    "recorded": {"at": "2026-01-12T22:10:00+00:00", "recorded_by": "Support worker 12"},
    "permits": [
        {"recipients": ["glasgow-health"], "purposes": ["health-care"], "categories": ["request", "identity", "health"]}
    ],
    "ends_at": "2026-01-14T22:10:00+00:00",
}

MESSAGE: dict[str, Any] = {"agency": "glasgow-housing", "text": "She can move in on Monday. She would like two rooms."}

GIVEN: dict[str, Any] = {"at": "2026-01-12T11:00:00+00:00", "to": "Duty officer", "reference": "R-1207"}

ANSWER: dict[str, Any] = {"status": "accepted"}

ROUTE: dict[str, Any] = {
    "area": "ayrshire",
    "council": "S12000021",
    "urgency": "stat",
    "age": 31,
    "children": True,
    "needs": [{"need": "emergency-accommodation", "purpose": "housing"}],
}

WEBHOOK: dict[str, Any] = {"url": "https://hub.example/events", "types": ["delivery.status"]}
