"""What a FHIR R4 record knew before an image was made: why it was asked for, and what earlier reports said.

Read from a bundle in a file or from a server. Drafts and what a program asserted (security label AIAST) are no earlier
reports: a draft must not become the ground of the next one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assistant.conversation import SECTIONS
from assistant.ehr.texts import TextReport
from assistant.errors import DataError, PacsError
from assistant.prompts import parse_report

Resource = Mapping[str, Any]

_FINAL = ("final", "amended", "corrected", "appended")
_ASKED = ("active", "completed", "on-hold")
_BY_AI = "AIAST"
_PAGES, _COUNT, _TIMEOUT_S = 20, 100, 30
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Clinical:
    """What was known of one patient before one study."""

    indication: str | None = None
    """Why the study was asked for."""
    earlier: tuple[TextReport, ...] = ()
    """Signed reports from before the study, the newest first."""
    names: tuple[str, ...] = field(default=(), repr=False)
    """What the record calls the patient, to be taken out of the texts."""


class FhirRecord:
    """Resources of one or more patients.

    Args:
        resources: each with the addresses that others refer to it by.
    """

    def __init__(self, resources: Sequence[tuple[frozenset[str], Resource]]) -> None:
        self._resources = resources
        self._by_address = {address: one for addresses, one in resources for address in addresses}

    @classmethod
    def of_bundle(cls, bundle: Resource) -> FhirRecord:
        """Take the resources of a bundle; what has not the form of FHIR is left out."""
        found = []
        for entry in bundle.get("entry") or ():
            one = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(one, dict) and isinstance(one.get("resourceType"), str):
                addresses = {str(entry.get("fullUrl") or ""), f"{one['resourceType']}/{one.get('id', '')}"}
                found.append((frozenset(addresses - {""}), one))
        return cls(found)

    @classmethod
    def of_file(cls, path: Path) -> FhirRecord:
        """Read a bundle.

        Args:
            path: of a JSON file.
        Returns:
            the record.
        Raises:
            DataError: it cannot be read, or is no bundle.
        """
        try:
            bundle = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}). Name a bundle, or a server's URL.") from None
        except ValueError:
            raise DataError(f"{path} is no JSON. Name a FHIR R4 bundle in JSON.") from None
        if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
            raise DataError(f"{path} is no FHIR bundle: resourceType is not Bundle. Name a FHIR R4 bundle in JSON.")
        return cls.of_bundle(bundle)

    def of_kind(self, kind: str) -> Iterator[Resource]:
        """Yield the resources of one type."""
        return (one for _, one in self._resources if one["resourceType"] == kind)

    def clinical(self, patient: str, accession: str = "", before: str = "") -> Clinical:
        """Find what was known before a study.

        Args:
            patient: her number, as the images have it.
            accession: number of the order; finds the reason. Without one there is no indication.
            before: date of the study, YYYYMMDD; a report of that day or later, or without a date, is left out.
        Returns:
            what was found, possibly nothing.
        """
        addresses: set[str] = set()
        names: list[str] = []
        for known, one in self._resources:
            if one["resourceType"] == "Patient" and patient and patient in _values(one):
                addresses |= known
                names += [part for name in one.get("name") or () for part in _parts(name)]
        if not addresses:
            return Clinical()
        reasons = [
            self._reason(one)
            for one in self.of_kind("ServiceRequest")
            if accession and accession in _values(one) and _about(one, addresses) and one.get("status") in _ASKED
        ]
        day = f"{before[:4]}-{before[4:6]}-{before[6:8]}" if len(before) >= 8 else ""
        earlier = [
            report
            for one in self.of_kind("DiagnosticReport")
            if _about(one, addresses)
            and (report := self._report(one))
            and report.date
            and (not day or report.date < day)
        ]
        reason = next((one for one in reasons if one), None)
        return Clinical(reason, tuple(sorted(earlier, key=lambda one: one.date, reverse=True)), tuple(names))

    def reports(self) -> Iterator[TextReport]:
        """Yield every signed report, oldest first."""
        found = (self._report(one) for one in self.of_kind("DiagnosticReport"))
        yield from sorted((one for one in found if one), key=lambda one: one.date)

    def _reason(self, request: Resource) -> str:
        """Return why a study was asked for, as it is written there or in the conditions it refers to."""
        texts = [_concept(one) for one in request.get("reasonCode") or ()]
        for reference in request.get("reasonReference") or ():
            condition = self._by_address.get(str(reference.get("reference")), {})
            texts.append(_concept(condition.get("code") or {}))
        return "; ".join(dict.fromkeys(" ".join(one.split()) for one in texts if one))

    def _report(self, resource: Resource) -> TextReport | None:
        """Return a signed report of a person; None for drafts, for what a program wrote, and without a text."""
        labels = [one.get("code") for one in (resource.get("meta") or {}).get("security") or ()]
        if resource.get("status") not in _FINAL or _BY_AI in labels:
            return None
        sections = dict.fromkeys(SECTIONS, "")
        for form in resource.get("presentedForm") or ():
            if str(form.get("contentType", "")).startswith("text/plain") and form.get("data"):
                try:
                    sections = parse_report(base64.b64decode(form["data"], validate=True).decode("utf-8"))
                except (binascii.Error, ValueError):
                    continue
        observed = [self._by_address.get(str(one.get("reference")), {}) for one in resource.get("result") or ()]
        if not sections["findings"]:
            sections["findings"] = " ".join(str(one["valueString"]) for one in observed if one.get("valueString"))
        sections["impression"] = sections["impression"] or str(resource.get("conclusion") or "")
        if not sections["findings"] and not sections["impression"]:
            return None
        when = str(resource.get("effectiveDateTime") or resource.get("issued") or "")[:10]
        return TextReport(sections, when, _concept(resource.get("code") or {}))


def _values(resource: Resource) -> set[str]:
    return {str(one.get("value")) for one in resource.get("identifier") or () if one.get("value")}


def _about(resource: Resource, addresses: set[str]) -> bool:
    reference = str((resource.get("subject") or {}).get("reference") or "")
    return reference in addresses or any(one.endswith(f"/{reference}") for one in addresses if reference)


def _parts(name: Resource) -> list[str]:
    words = [str(name.get("family") or ""), str(name.get("text") or ""), *map(str, name.get("given") or ())]
    return [part for word in words for part in word.split() if len(part) > 1]


def _concept(concept: Resource) -> str:
    """Return a CodeableConcept's text, or the display of its first coding."""
    shown = [str(one.get("display") or "") for one in concept.get("coding") or ()]
    return str(concept.get("text") or next((one for one in shown if one), ""))


class FhirServer:
    """A FHIR server, asked for one patient at a time.

    Args:
        url: of its base, such as https://fhir.example/r4.
        auth: file with one line, `Bearer TOKEN` or `name:password`.
    Raises:
        PacsError: the address is none, or not encrypted; the file is bad.
    """

    def __init__(self, url: str, auth: Path | None = None) -> None:
        import httpx

        from assistant.pacs.login import read_login

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PacsError(f"{url} is no address of a FHIR server, such as https://fhir.example/r4.")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise PacsError(
                f"{url} is not encrypted, and a patient's record would cross the network readable. Use https."
            )
        login = read_login(auth) if auth else None
        headers = {"Accept": "application/fhir+json"}
        if isinstance(login, str):
            headers["Authorization"] = login
        basic = login if isinstance(login, tuple) else None
        self.url = url.rstrip("/")
        self._client = httpx.Client(headers=headers, auth=basic, timeout=_TIMEOUT_S, follow_redirects=False)

    def clinical(self, patient: str, accession: str = "", before: str = "") -> Clinical:
        """Find what was known before a study; see `FhirRecord.clinical`."""
        if not patient:
            return Clinical()
        people = self._search("Patient", {"identifier": patient})
        found = list(people)
        for _, one in people:
            subject = f"Patient/{one.get('id')}"
            found += self._search("DiagnosticReport", {"subject": subject, "_include": "DiagnosticReport:result"})
            if accession:
                order = {"subject": subject, "identifier": accession, "_include": "ServiceRequest:reason-reference"}
                found += self._search("ServiceRequest", order)
        return FhirRecord(found).clinical(patient, accession, before)

    def _search(self, kind: str, asked: Mapping[str, str]) -> list[tuple[frozenset[str], Resource]]:
        """Ask for resources, page by page; further pages are taken from this server alone."""
        import httpx

        address: str | None = f"{self.url}/{kind}"
        parameters: Mapping[str, str | int] | None = {**asked, "_count": _COUNT}
        found: list[tuple[frozenset[str], Resource]] = []
        for _ in range(_PAGES):
            try:
                answer = self._client.get(str(address), params=parameters)
                answer.raise_for_status()
                bundle = answer.json()
                found += FhirRecord.of_bundle(bundle)._resources
                links = [one.get("url") for one in bundle.get("link") or () if one.get("relation") == "next"]
            except httpx.HTTPStatusError as error:
                raise PacsError(f"{self.url} answered {error.response.status_code}. Check address and login.") from None
            except (httpx.HTTPError, ValueError, AttributeError) as error:
                raise PacsError(
                    f"{self.url} gave no usable answer ({type(error).__name__}). Check the address."
                ) from None
            address, parameters = (links[0] if links else None), None
            if address is None or urlsplit(address)[:2] != urlsplit(self.url)[:2]:
                break
        return found
