"""What a process under trial imports first (as `sitecustomize`): its N-th file operation kills it, or fills its disk.

FAULT_AT: the number; FAULT_KIND: `kill`, `kill all` (the process's group) or `full`; FAULT_UNDER: only paths with
this in them count; FAULT_SAY: a file that is told where it was, after which there are no more kills. FAULT_WHO: the
module of a stage that has the fault, in a child of the fork server, in place of the process itself. FAULT_SYNCED: a
file that gets a line for each file that is synced, by any of the processes: its number, size and time. FAULT_CLOCK: a
file with the seconds by which the wall clock is wrong, read at every look at it. Other children do not inherit the
fault, but they do inherit the noting and the wrong clock.
"""

HOOK = '''
import errno, os, sys

def on_operation(event, arguments):
    """The paths of an operation that changes files, of those that count; nothing for others."""
    if event not in OPERATIONS:
        return []
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITES):
        return []
    return [str(p) for p in arguments[:2] if isinstance(p, (str, bytes, os.PathLike)) and under in os.fsdecode(p)]

OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.symlink")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
who, is_server = os.environ.get("FAULT_WHO", ""), "flows.engine.forkserver" in sys.orig_argv
at, kind = os.environ.get("FAULT_AT"), os.environ.get("FAULT_KIND", "")
if who and not is_server:
    at = None
else:
    os.environ.pop("FAULT_AT", None)
under, synced = os.environ.get("FAULT_UNDER", "/"), os.environ.get("FAULT_SYNCED")
if at is not None:
    seen = 0

    def fault(event, arguments):
        global seen
        if who and sys.argv[0] != who:
            return
        paths = on_operation(event, arguments)
        if not paths:
            return
        seen += 1
        if kind.startswith("kill") and seen == int(at) and not os.path.exists(os.environ["FAULT_SAY"]):
            descriptor = os.open(os.environ["FAULT_SAY"], os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, f"{event} {' '.join(p.replace(under, '') for p in paths)}".encode())
            os.killpg(0, 9) if kind == "kill all" else os.kill(os.getpid(), 9)
        if kind == "full" and seen >= int(at) and event in ("open", "os.mkdir", "os.link", "os.symlink"):
            raise OSError(errno.ENOSPC, "No space left on device", paths[0])

    sys.addaudithook(fault)
if synced:
    sync = os.fsync

    def fsync(descriptor):
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        sync(number)
        found = os.fstat(number)
        with_line = os.open(synced, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(with_line, f"{found.st_ino} {found.st_size} {found.st_mtime_ns}\\n".encode())
        os.close(with_line)

    os.fsync = fsync
if os.environ.get("FAULT_CLOCK"):
    import datetime, time

    right, true_datetime = time.time, datetime.datetime

    def wrong_by():
        try:
            with open(os.environ["FAULT_CLOCK"]) as file:
                return float(file.read() or 0)
        except OSError:
            return 0.0

    class Datetime(true_datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls):
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: right() + wrong_by()
    time.time_ns = lambda: int(time.time() * 1e9)
    datetime.datetime = Datetime
'''
