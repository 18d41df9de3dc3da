"""Shut a process in: no network, no files but the libraries it runs on, no other processes, so much memory and no more.

For Linux 5.13 and newer on x86-64 and arm64, as any user: Landlock (files), seccomp (system calls), no capabilities,
resource limits. What is inherited stays open; nothing new can be reached. The numbers are those of the kernel's
headers (linux/landlock.h, linux/seccomp.h, linux/audit.h, linux/prctl.h, linux/capability.h, asm/unistd.h).
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's calls, the same on every architecture
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # how many rights Landlock knows, from that version on
SET_DEATH_SIGNAL, SET_SECCOMP, NO_NEW_PRIVILEGES = 1, 22, 38
FILTER = 2
CAPABILITIES_VERSION = 0x20080522
LOAD, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # of a seccomp filter's little machine
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
OTHER_ABI = 0x40000000  # x32's numbers begin here

# Calls that lead out: name, then its number on x86-64 and on arm64 (none: it has no such call).
WAYS_OUT: Sequence[tuple[str, int, int | None]] = [
    ("socket", 41, 198), ("connect", 42, 203), ("bind", 49, 200), ("io_uring_setup", 425, 425),
    ("fork", 57, None), ("vfork", 58, None), ("clone", 56, 220), ("clone3", 435, 435), ("execve", 59, 221),
    ("execveat", 322, 281), ("kill", 62, 129), ("tkill", 200, 130), ("pidfd_open", 434, 434),
    ("pidfd_getfd", 438, 438), ("pidfd_send_signal", 424, 424), ("ptrace", 101, 117), ("process_vm_readv", 310, 270),
    ("process_vm_writev", 311, 271), ("unshare", 272, 97), ("setns", 308, 268), ("mount", 165, 40), ("bpf", 321, 280),
    ("userfaultfd", 323, 282), ("perf_event_open", 298, 241), ("add_key", 248, 217), ("request_key", 249, 218),
    ("keyctl", 250, 219), ("shmget", 29, 194), ("msgget", 68, 186), ("mq_open", 240, 180),
]  # fmt: skip
ARCHITECTURES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}  # machine: its audit number, its column above

_libc = ctypes.CDLL(None, use_errno=True)


class Open(OSError):
    """This system cannot shut a process in. The text says what is missing."""


def enter(readable: Iterable[str], memory: int) -> None:
    """Shut in this process for good. *readable*: files and folders; *memory*: bytes. Raises Open."""
    _must(_libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
    _must(_libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no new privileges")
    _restrict_files(readable)
    nothing = (ctypes.c_uint32 * 6)()
    _must(_libc.capset((ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0), nothing), "dropping capabilities")
    for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(limit, (value, value))
    _restrict_calls()


def _restrict_files(readable: Iterable[str]) -> None:
    version = _libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        raise Open("Landlock is missing: Linux 5.13 or newer has it, where it is switched on")
    rights = max(count for since, count in FILE_RIGHTS.items() if since <= version)
    rules = _must(_libc.syscall(CREATE_RULESET, struct.pack("=Q", (1 << rights) - 1), 8, 0), "Landlock")
    for path in readable:
        if Path(path).exists():
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            may = READ_FILE | READ_FOLDER if Path(path).is_dir() else READ_FILE
            _must(_libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", may, place), 0), f"Landlock on {path}")
            os.close(place)
    _must(_libc.syscall(RESTRICT_SELF, rules, 0), "Landlock")
    os.close(rules)


def _restrict_calls() -> None:
    if platform.machine() not in ARCHITECTURES:
        raise Open(f"no list of system calls for {platform.machine()}")
    architecture, column = ARCHITECTURES[platform.machine()]
    refused = [number for entry in WAYS_OUT if isinstance(number := entry[column], int)]
    # Each instruction: operation, where to go on if true and if false (so many further), operand.
    program = [(LOAD, 0, 0, 4), (IF_EQUAL, 1, 0, architecture), (RETURN, 0, 0, REFUSE), (LOAD, 0, 0, 0)]
    program += [(IF_AT_LEAST, len(refused) + 1, 0, OTHER_ABI)]
    program += [(IF_EQUAL, len(refused) - place, 0, number) for place, number in enumerate(refused)]
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    _must(_libc.prctl(SET_SECCOMP, FILTER, whole, 0, 0), "seccomp")


def _must(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise Open(error, f"{what}: {os.strerror(error)}")
    return result
