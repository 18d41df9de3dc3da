"""CHI numbers: ten digits, DDMMYY, three more and a check digit.

Since NHS Scotland ran short of numbers, a check digit is right by modulus 11 or by modulus 10
(the rule of Public Health Scotland's phsmethods). It says nothing of sex or gender here.
"""

from datetime import date


def valid(number: str) -> bool:
    """Whether *number* is a CHI number: a real day, and a right check digit by either modulus."""
    if len(number) != 10 or not (number.isascii() and number.isdigit()) or not _day(number):
        return False
    return check_11(number[:9]) == int(number[9]) or check_10(number[:9]) == int(number[9])


def _day(number: str) -> bool:
    day, month, year = int(number[:2]), int(number[2:4]), int(number[4:6])
    for century in (1900, 2000):
        try:
            date(century + year, month, day)
        except ValueError:
            continue
        return True
    return False


def check_11(nine: str) -> int | None:
    """The check digit of nine digits by modulus 11; None where there is none."""
    remainder = 11 - sum(int(digit) * weight for digit, weight in zip(nine, range(10, 1, -1), strict=True)) % 11
    return {10: None, 11: 0}.get(remainder, remainder)


def check_10(nine: str) -> int:
    """The check digit of nine digits by modulus 10: the digits in odd places doubled, less 9 if over 9."""
    total = 0
    for place, character in enumerate(nine):
        value = int(character) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return (10 - total % 10) % 10
