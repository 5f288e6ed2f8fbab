"""A PLC on pymodbus, for tests: server of both blocks, with the PLC's half of the handshake written as a controls engineer
would, from the symbol list that the appliance exports.

    plc.py SYMBOLS.csv tcp PORT            (0 = any free port)
    plc.py SYMBOLS.csv rtu DEVICE BAUD

Commands come as lines on stdin, what was seen leaves as lines on stdout:

    set NAME VALUE    ->                        a control field
    get NAME          -> value NAME VALUE       a field of either block
    await NAME VALUE  -> value NAME VALUE       as soon as a field has this value
    beat on|off       ->                        PlcHeartbeat moves or stands still
    make COUNT        -> made COUNT             so many pieces, each triggered while the line may run; from number FROM + 1 on
    from FROM         ->
                         ready PORT             once; 0 for RTU
                         permit on|off          what the line really does: RunPermit and a moving VisionHeartbeat
                         piece SEQ pass|fail|hold ENCODER
                         strange TEXT           something that the contract forbids

It ends when stdin does. Everything runs in one thread, so that a request sees one state of the memory.
"""

import asyncio
import csv
import logging
import sys
import time

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

CONTROL_LEN, STATUS_BASE, STATUS_LEN = 96, 1000, 128
SCAN_SECONDS = 0.002
BEAT_SECONDS = 0.02
# Stricter machines take 0.5 s; this one runs beside others that are building.
VISION_TIMEOUT_SECONDS = 5.0
RESULTS_AHEAD = 8


def say(*words):
    print(*words, flush=True)


class Symbols:
    """Named fields of both blocks, as PLC tools import them."""

    def __init__(self, path):
        with open(path, newline="", encoding="ascii") as file:
            self.rows = {row["name"]: row for row in csv.DictReader(file)}

    def _place(self, name):
        row = self.rows[name]
        return row["type"], int(row["register"]), int(row["width"]), row["bit"]

    @staticmethod
    def _bits(bit):
        first, _, last = bit.partition("-")
        return int(first), int(last or first) - int(first) + 1

    def get(self, memory, name):
        kind, register, width, bit = self._place(name)
        words = [memory[register + i] for i in range(width)]
        if kind in ("BOOL", "BITS"):
            first, count = self._bits(bit)
            return str(words[0] >> first & (1 << count) - 1)
        if kind == "STRING":
            return b"".join(word.to_bytes(2, "big") for word in words).rstrip(b"\0").decode("ascii")
        if kind == "UDINT":
            return str(words[0] << 16 | words[1])
        return " ".join(str(word) for word in words) if width > 1 else str(words[0])

    def set(self, memory, name, value):
        kind, register, width, bit = self._place(name)
        if kind in ("BOOL", "BITS"):
            first, count = self._bits(bit)
            mask = (1 << count) - 1 << first
            words = [memory[register] & ~mask | int(value) << first & mask]
        elif kind == "STRING":
            data = value.encode("ascii").ljust(2 * width, b"\0")
            words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, 2 * width, 2)]
        elif kind == "UDINT":
            words = [int(value) >> 16, int(value) & 0xFFFF]
        else:
            words = [int(word) for word in value.split()]
        if len(words) != width:
            raise ValueError(f"{name} takes {width} registers, not {len(words)}")
        for i, word in enumerate(words):
            memory[register + i] = word


class Plc:
    def __init__(self, symbols):
        self.symbols = symbols
        self.memory = dict.fromkeys([*range(CONTROL_LEN), *range(STATUS_BASE, STATUS_BASE + STATUS_LEN)], 0)
        self.awaited = []
        self.beating = True
        self.running = False
        self.seq = 0
        self.left = 0
        self.ordered = 0
        self.open = {}
        self.vision = (0, 0.0)
        self.beat_due = 0.0

    def get(self, name):
        return int(self.symbols.get(self.memory, name))

    def set(self, name, value):
        self.symbols.set(self.memory, name, str(int(value)) if isinstance(value, (bool, int)) else value)

    async def access(self, _function, start, address, count, registers, values):
        """Every access of a client comes through here; None lets it happen."""
        if values is None:
            for i in range(address, address + count):
                registers[i - start] = self.memory[i]
            return None
        if address < STATUS_BASE:
            return ExcCodes.ILLEGAL_ADDRESS
        for i, value in enumerate(values):
            self.memory[address + i] = value
        # Somebody may wait for a state that the next write takes away.
        self.look()
        return None

    def look(self):
        for name, value in list(self.awaited):
            if self.symbols.get(self.memory, name) == value:
                self.awaited.remove((name, value))
                say("value", name, value)

    def scan(self, now):
        if self.beating and now >= self.beat_due:
            self.beat_due = now + BEAT_SECONDS
            self.set("PlcHeartbeat", (self.get("PlcHeartbeat") + 1) % 0x10000)
        beat, since = self.vision
        if self.get("VisionHeartbeat") != beat:
            since = now
        self.vision = (self.get("VisionHeartbeat"), since)
        running = self.get("RunPermit") == 1 and now - since < VISION_TIMEOUT_SECONDS
        if running != self.running:
            self.running = running
            self.set("LineRunning", running)
            say("permit", "on" if running else "off")
        if self.ordered:
            self.trigger()
            self.results()
        self.look()

    def trigger(self):
        if self.get("Trigger"):
            if self.get("TriggerAck"):
                self.set("Trigger", False)
        elif self.left and self.running and len(self.open) < RESULTS_AHEAD and self.get("TriggerReady") and not self.get("TriggerAck"):
            self.left -= 1
            self.seq += 1
            # Crosses the wrap of the encoder on the way.
            self.open[self.seq] = (0xFFFF_F000 + 1000 * self.seq) % 2**32
            self.set("PieceSeq", self.seq)
            self.set("EncoderAtTrigger", self.open[self.seq])
            self.set("Serial", f"PY{self.seq:08}")
            self.set("SetUserData", self.seq % 2)
            self.set("Trigger", True)

    def results(self):
        valid, acked = self.get("ResultsValid"), self.get("ResultsAck")
        if acked:
            if not valid:
                self.set("ResultsAck", False)
                if not self.left and not self.open:
                    say("made", self.ordered)
                    self.ordered = 0
            return
        if not valid:
            return
        seq, encoder = self.get("PieceSeqEcho"), self.get("EncoderEcho")
        verdicts = [word for name, word in (("Pass", "pass"), ("Fail", "fail"), ("NoVerdict", "hold")) if self.get(name)]
        if len(verdicts) != 1:
            say("strange", "verdicts", *verdicts)
        if self.open.get(seq) != encoder:
            say("strange", "result of", seq, "at", encoder)
        else:
            del self.open[seq]
            say("piece", seq, *verdicts, encoder)
        self.set("ResultsAck", True)

    def obey(self, line):
        verb, _, rest = line.strip().partition(" ")
        if verb == "set":
            name, _, value = rest.partition(" ")
            self.symbols.set(self.memory, name, value)
        elif verb == "get":
            say("value", rest, self.symbols.get(self.memory, rest))
        elif verb == "await":
            name, _, value = rest.partition(" ")
            self.awaited.append((name, value))
            self.look()
        elif verb == "beat":
            self.beating = rest == "on"
        elif verb == "from":
            self.seq = int(rest)
        elif verb == "make":
            self.left = self.ordered = int(rest)
            self.set("TriggerEnable", True)
            self.set("BufferResultsEnable", True)
        else:
            raise ValueError(f"unknown command: {line!r}")


async def main():
    symbols, way, *where = sys.argv[1:]
    plc = Plc(Symbols(symbols))
    blocks = [
        SimData(0, count=CONTROL_LEN, datatype=DataType.REGISTERS),
        SimData(STATUS_BASE, count=STATUS_LEN, datatype=DataType.REGISTERS),
    ]
    # Coils, discrete inputs and input registers have to be something; only holding registers are used.
    bit, word = [SimData(0, count=16, values=False, datatype=DataType.BITS)], [SimData(0, datatype=DataType.REGISTERS)]
    device = SimDevice(id=1, simdata=(bit, bit, blocks, word), action=plc.access)
    if way == "tcp":
        server = ModbusTcpServer(device, address=("127.0.0.1", int(where[0])))
    else:
        # No parity: a pty has none, and says so.
        server = ModbusSerialServer(device, framer=FramerType.RTU, port=where[0], baudrate=int(where[1]), parity="N")
    await server.serve_forever(background=True)
    say("ready", server.transport.sockets[0].getsockname()[1] if way == "tcp" else 0)

    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    lines = asyncio.create_task(stdin.readline())
    while True:
        done, _ = await asyncio.wait([lines], timeout=SCAN_SECONDS)
        if done:
            line = lines.result().decode("ascii")
            if not line:
                return
            plc.obey(line)
            lines = asyncio.create_task(stdin.readline())
        plc.scan(time.monotonic())


# Clients that leave in the middle of an answer are part of the game, and no news.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
asyncio.run(main())
