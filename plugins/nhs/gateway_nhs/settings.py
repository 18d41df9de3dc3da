"""What differs from one receiver to the next."""

import base64
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

PRINTABLE = r"^[\x21-\x7e]+( [\x21-\x7e]+)*$"


class Code(BaseModel):
    """A FHIR Coding."""

    model_config = ConfigDict(extra="forbid")

    system: str = Field(pattern=PRINTABLE)
    code: str = Field(pattern=PRINTABLE)


class NhsSettings(BaseModel):
    """The receiver's identifiers and codes."""

    model_config = ConfigDict(extra="forbid")

    target_system: str = "https://fhir.nhs.uk/Id/dos-service-id"
    target_value: str = Field("gender-based-violence-health", pattern=PRINTABLE)  # the service that is referred to
    receiver_code: str = Field("HB", pattern=PRINTABLE)  # the health board's organisation code
    receiver_name: str = "Health board"
    sender_code: str = Field("HUB", pattern=PRINTABLE)  # the hub's organisation code
    organisation_system: str = "https://fhir.nhs.uk/Id/ods-organization-code"
    gateway_endpoint: str = Field("https://referral-gateway.example/fhir", pattern=PRINTABLE)  # where answers go
    use_context: str = Field("referral|specialist-support", pattern=PRINTABLE)
    use_case: Code = Code(system="https://referral-gateway.example/fhir/CodeSystem/use-case", code="specialist-support")
    patient_identifier_system: str = "urn:oid:2.16.840.1.113883.2.1.3.2.4.16.53"  # CHI number
    version: str = Field("1.0.0", pattern=r"^\d+\.\d+\.\d+$")

    def headers(self) -> dict[str, str]:
        """The headers BaRS requires besides the ids. They name organisations and software, never her."""
        organisation = {
            "resourceType": "Organization",
            "identifier": [{"system": self.organisation_system, "value": self.sender_code}],
            "name": "Specialist hub",
        }
        device = {
            "resourceType": "Device",
            "identifier": [{"system": "https://referral-gateway.example/software", "value": "referral-gateway"}],
            "deviceName": [{"name": "Referral Gateway", "type": "manufacturer-name"}],
            "version": [{"value": "1"}],
        }
        return {
            "Content-Type": "application/fhir+json",
            "Accept": f"application/fhir+json; version={self.version}",
            "NHSD-Target-Identifier": _encode({"system": self.target_system, "value": self.target_value}),
            "NHSD-End-User-Organisation": _encode(organisation),
            "NHSD-Requesting-Software": _encode(device),
            "use-context": self.use_context,
        }


def _encode(value: Any) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()
