"""What in a column tells who a patient is: dates, and headers of names, ids, contacts and remarks."""

import re

_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|mär|märz|mrz|apr(?:il)?|may|mai|jun[ei]?|jul[yi]?|aug(?:ust)?"
    r"|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_YEAR, _DAY, _GAP = r"(?:'?\d\d|\d{4})", r"\d{1,2}(?:st|nd|rd|th)?", r"[-/., ]*"
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|(19|20)\d\d[01]\d[0-3]\d"
    r"|(19|20)\d\d[-/.](0?[1-9]|1[0-2])|(0?[1-9]|1[0-2])[-/.](19|20)\d\d"
    rf"|({_DAY}{_GAP})?{_MONTH}{_GAP}({_DAY}[-/., ]+)?{_YEAR}|\d{{4}}{_GAP}{_MONTH}({_GAP}{_DAY})?",
    re.IGNORECASE,
)
_TIME = re.compile(r"[T ]\d{1,2}:\d{2}.*")
_WORD = re.compile(r"[A-ZÄÖÜ]+(?![a-zäöüß])|[A-ZÄÖÜ]?[a-zäöüß]+|\d+")
_IDENTIFYING = re.compile(
    "(sur|fore|first|last|family|vor|nach)?names?|initials|mrn|ids?|ssn|(remark|comment|note)s?|address|street"
    "|(tele)?phone|mobile|fax|e?mail|birth(day|date|year)?|dob|zip(code)?|post(code|al)|plz"
)
_OF_ONE = "(patient|subject|case|record|hospital|accession|insurance)s?"
_OF_ONE_ALONE = re.compile(rf"{_OF_ONE}(id|name|no|nr|num|number|code|key|ref)*")


def is_date(cell: str) -> bool:
    """Whether a cell is a day, with or without an hour, or a month of a year."""
    return _DATE.fullmatch(_TIME.sub("", cell.strip())) is not None


def identifies(header: str) -> bool:
    """Whether a column is called like one of names, ids, contacts, days of birth or remarks.

    ``patient_id``, ``PatientName``, ``patient`` and ``patient no`` are; ``patient_age`` and ``PatientSex`` are not.
    """
    words = [word.casefold() for word in _WORD.findall(header)]
    glued = "".join(words)
    return any(map(_IDENTIFYING.fullmatch, [*words, glued])) or _OF_ONE_ALONE.fullmatch(glued) is not None
