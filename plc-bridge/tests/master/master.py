"""A Modbus master on pymodbus, told line by line what to ask.

    master.py tcp HOST PORT | master.py rtu DEVICE BAUD

Lines in: `FC ADDRESS ...` with decimal numbers; 1-4: count; 5, 6: value; 15, 16: values; 22: and, or;
23: count, write address, values. Lines out: `ok ...` with what was read, or `exception CODE`.
"""

import sys

from pymodbus.client import ModbusSerialClient, ModbusTcpClient


def ask(client, function, address, rest):
    if function in (1, 2, 3, 4):
        read = {
            1: client.read_coils,
            2: client.read_discrete_inputs,
            3: client.read_holding_registers,
            4: client.read_input_registers,
        }[function]
        return read(address, count=rest[0], device_id=1)
    if function == 5:
        return client.write_coil(address, bool(rest[0]), device_id=1)
    if function == 6:
        return client.write_register(address, rest[0], device_id=1)
    if function == 15:
        return client.write_coils(address, [bool(bit) for bit in rest], device_id=1)
    if function == 16:
        return client.write_registers(address, rest, device_id=1)
    if function == 22:
        return client.mask_write_register(address=address, and_mask=rest[0], or_mask=rest[1], device_id=1)
    if function == 23:
        count, write_address, *values = rest
        return client.readwrite_registers(
            read_address=address, read_count=count, write_address=write_address, values=values, device_id=1
        )
    raise SystemExit(f"function {function} is not known here")


def main():
    way, where, parameter = sys.argv[1:]
    if way == "tcp":
        client = ModbusTcpClient(where, port=int(parameter), timeout=10, retries=0)
    else:
        # A pty knows no parity, and pyserial insists.
        client = ModbusSerialClient(where, baudrate=int(parameter), parity="N", timeout=10, retries=0)
    if not client.connect():
        raise SystemExit(f"cannot reach {where}")
    print("ready", flush=True)
    for line in sys.stdin:
        function, address, *rest = map(int, line.split())
        answer = ask(client, function, address, rest)
        if answer.isError():
            print("exception", answer.exception_code, flush=True)
        elif function in (1, 2):
            print("ok", *(int(bit) for bit in answer.bits[: rest[0]]), flush=True)
        elif function in (3, 4, 23):
            print("ok", *answer.registers, flush=True)
        else:
            print("ok", flush=True)


main()
