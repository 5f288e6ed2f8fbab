"""A client of the capture and query interface, written from its OpenAPI document alone, with Python's own library.

It plays the sequence that backend_clients.rs plays with curl and prints one line for each step. Whatever it is answered must be
described: an operation or a status that is not in the document ends it.
Usage: epcis_client.py ADDRESS TOKEN EVENTS.json
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

address, token, events_file = sys.argv[1:]
with open(events_file, encoding="utf-8") as file:
    EVENTS = json.load(file)


def exchange(method, path, body=None, headers=None, bearer=True):
    headers = dict(headers or {})
    if bearer:
        headers["Authorization"] = "Bearer " + token
    data = None
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(address + path, data=data, headers=headers, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read()
        described(method, path, answer.status)
        return answer.status, answer.headers, json.loads(text) if text else None


def described(method, path, status):
    if DOCUMENT is None:
        return
    plain = path.split("?")[0]
    for template, operations in DOCUMENT["paths"].items():
        fits = plain == template or ("{" in template and plain.startswith(template.split("{")[0]) and plain.count("/") == template.count("/"))
        if fits:
            assert str(status) in operations[method.lower()]["responses"], f"{method} {path}: {status} is not described"
            return
    raise AssertionError(f"{path} is not described")


def parameter(name):
    assert name in {one["name"] for one in DOCUMENT["paths"]["/events"]["get"]["parameters"]}, name
    return name


DOCUMENT = None
DOCUMENT = exchange("GET", "/openapi-epcis.json")[2]


def document(events):
    return {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", {"jidoka": "urn:jidoka:epcis:1:"}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-11-22T12:00:00Z",
        "epcisBody": {"eventList": events},
    }


def capture(name, events, headers=None):
    status, headers, _ = exchange("POST", "/capture", document(events), headers)
    job = exchange("GET", headers["Location"])[2]
    while job["running"]:
        job = exchange("GET", headers["Location"])[2]
    print(name, status, job["success"], job["jidoka:stored"], job["jidoka:exists"], len(job["errors"]))


def asked(name, **parameters):
    query = "&".join(f"{parameter(key)}={urllib.parse.quote(value, safe='')}" for key, value in parameters.items())
    path, names = "/events?" + query, []
    while path:
        status, headers, found = exchange("GET", path)
        names += [event["eventID"] for event in found["epcisBody"]["queryResults"]["resultsBody"]["eventList"]]
        link = headers.get("Link")
        path = link.split("<")[1].split(">")[0] if link else None
    print(name, status, ",".join(name.rsplit(":", 1)[1] for name in names))


status, headers, _ = exchange("OPTIONS", "/capture")
limit = int(headers["GS1-EPCIS-Capture-Limit"])
print("limits", status, limit, headers["GS1-Capture-Error-Behaviour"])
print("no token", exchange("GET", "/events", bearer=False)[0])
capture("first", EVENTS[:3])
capture("again", EVENTS[:4])
broken = dict(EVENTS[4], disposition="rather_good")
capture("rollback", [EVENTS[5], broken])
capture("proceed", [EVENTS[5], broken], {"GS1-Capture-Error-Behaviour": "proceed"})
capture("name taken", [dict(EVENTS[0], disposition="recalled")])
declared = dict(EVENTS[0], errorDeclaration={"declarationTime": "2026-11-22T13:00:00Z", "reason": "incorrect_data"})
capture("declared", [declared])
print("too many", exchange("POST", "/capture", document(EVENTS[:1] * (limit + 1)))[0])
print("no json", exchange("POST", "/capture", b"<epcis/>", {"Content-Type": "application/xml"})[0])
print("no document", exchange("POST", "/capture", {"type": "EPCISDocument"})[0])
asked("all", perPage="2")
asked("step", EQ_bizStep="holding", perPage="1")
asked("disposition", EQ_disposition="non_conformant|recalled")
asked("held", EQ_persistentDisposition_set="non_sellable_other")
asked("piece", MATCH_anyEPC="urn:epc:id:sgtin:4012345.011111.2")
asked("pieces", MATCH_anyEPC="urn:epc:id:sgtin:4012345.011111.*")
asked("lot", MATCH_anyEPCClass="urn:epc:class:lgtin:4012345.011111.7")
asked("time", GE_eventTime="2026-11-22T20:00:02+08:00", LT_eventTime="2026-11-22T20:00:04+08:00")
asked("errors", EXISTS_errorDeclaration="")
one = exchange("GET", "/events/" + urllib.parse.quote(EVENTS[1]["eventID"], safe=""))
print("one", one[0], len(one[2]["epcisBody"]["queryResults"]["resultsBody"]["eventList"]))
print("nobody", exchange("GET", "/events/urn%3Auuid%3A99")[0], exchange("GET", "/capture/none")[0])
print("unknown question", exchange("GET", "/events?EQ_colour=red")[0])
jobs, path = [], "/capture?perPage=4"
while path:
    _, headers, page = exchange("GET", path)
    jobs += page
    link = headers.get("Link")
    path = link.split("<")[1].split(">")[0] if link else None
print("jobs", len(jobs), sum(job["success"] for job in jobs))
health = exchange("GET", "/health", bearer=False)[2]
print("health", health["events"], health["duplicates_refused"])
