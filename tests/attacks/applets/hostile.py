# SPDX-License-Identifier: Apache-2.0
"""An applet that does, for each instruction, something that a hub must survive.

Its text is the attack: the tests put it into a bundle. P1 carries no meaning; INS 00 answers
politely, so that a test can see that the applet lives again.
"""

# ruff: noqa
# mypy: ignore-errors

from applets.sdk import *


class Hostile(Applet):
    def process(self, command):
        name = command.data.decode()
        return Response(getattr(self, name)() or b"") if name else Response(b"polite")

    # Time

    def loop(self):
        while True:
            pass

    def loop_and_catch(self):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                continue

    def loop_in_c(self):
        sum(iter(int, 1))

    def long_multiplication(self):
        number = 3**1_000_000
        while True:
            number * number

    def big_power(self):
        9**9**9

    def slow_pattern(self):
        import re

        re.match("(a+)+$", "a" * 60 + "b")

    def copy_forever(self):
        big = bytearray(8 << 20)
        while True:
            big[:] = bytes(big)

    def sort_forever(self):
        while True:
            sorted(range(100_000), key=lambda number: -number)

    def generator_bomb(self):
        def tree(depth):
            while True:
                yield from tree(depth + 1) if depth < 50 else iter(range(1000))

        for _ in tree(0):
            pass

    def call_the_clock_forever(self):
        while True:
            self.platform.clock.now()

    def read_the_store_forever(self):
        self.platform.store.put(b"big", bytes(60_000))
        while True:
            self.platform.store.get(b"big")

    def finally_forever(self):
        def again():
            try:
                return again()
            finally:
                again()

        again()

    # Memory

    def take_all_memory(self):
        hoard = []
        while True:
            hoard.append(bytearray(1 << 20))

    def take_it_in_small_pieces(self):
        hoard = []
        while True:
            hoard.append({len(hoard): [object() for _ in range(100)]})

    def take_it_at_once(self):
        return bytes(1 << 31)

    def take_all_memory_and_catch(self):
        hoard = []
        while True:
            try:
                hoard.append(bytes(1 << 16))
            except MemoryError:
                hoard.append(hoard)

    def double_a_string(self):
        text = "x"
        while True:
            text += text

    def wide_format(self):
        return ("%" + "9" * 9 + "d") % 1

    # Recursion

    def recurse(self):
        self.recurse()

    def recurse_and_catch(self):
        try:
            self.recurse_and_catch()
        except RecursionError:
            self.recurse_and_catch()

    def recurse_without_a_limit(self):
        import sys

        sys.setrecursionlimit(2**31 - 1)

        def deeper(n):
            return deeper(n + 1)

        deeper(0)

    def recurse_in_c(self):
        import sys

        sys.setrecursionlimit(2**31 - 1)
        nested = []
        for _ in range(1_000_000):
            nested = [nested]
        repr(nested)

    def recurse_in_comparison(self):
        a, b = [], []
        a.append(b)
        b.append(a)
        a == b

    def recurse_in_getattr(self):
        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x")

        import sys

        sys.setrecursionlimit(2**31 - 1)
        Deep().name

    def deep_json(self):
        import json

        json.loads("[" * 1_000_000)

    def deep_pattern(self):
        import re

        re.compile("(" * 100_000 + ")" * 100_000)

    def deep_source(self):
        eval("(" * 100_000 + ")" * 100_000)

    def deep_chain(self):
        import itertools
        import sys

        sys.setrecursionlimit(2**31 - 1)
        chain = iter(())
        for _ in range(1_000_000):
            chain = itertools.chain(chain)
        next(chain, None)

    # Ways out

    def import_os(self):
        import os

    def import_socket(self):
        import socket

    def import_ctypes(self):
        import ctypes

    def import_subprocess(self):
        import subprocess

    def import_the_clock(self):
        from time import time

    def import_sleep(self):
        from time import sleep

    def import_random(self):
        import random

    def import_hub(self):
        import hub.vault

    def open_a_file(self):
        open("/etc/passwd")

    def open_a_file_the_other_way(self):
        import io

        io.FileIO("/etc/passwd")

    def write_a_file(self):
        open("/tmp/out", "w").write("x")

    def find_os_anyway(self):
        import contextlib

        os = (
            contextlib.os
            if hasattr(contextlib, "os")
            else contextlib.sys.modules["contextlib"].sys.modules.get("os")
        )
        for value in list(vars(__import__("importlib")).values()):
            os = os or getattr(value, "_os", None)
        os.listdir("/")

    def find_posix_in_the_import_system(self):
        import importlib

        importlib._bootstrap_external._os.stat("/")

    def build_posix_again(self):
        import importlib

        bootstrap = importlib._bootstrap
        spec = bootstrap.BuiltinImporter.find_spec("posix")
        bootstrap._load(spec).open("/etc/passwd", 0)

    def ask_the_time(self):
        import datetime

        return str(datetime.datetime.now()).encode()

    def ask_for_randomness(self):
        import importlib

        return importlib._bootstrap_external._os.urandom(16)

    def exit_the_process(self):
        import importlib

        importlib._bootstrap_external._os._exit(0)

    def abort_the_process(self):
        import importlib

        importlib._bootstrap_external._os.abort()

    def crash_the_interpreter(self):
        # A code object that jumps into the middle of nowhere.
        code = (lambda: None).__code__
        exec(code.replace(co_code=bytes(range(256)) * 4, co_consts=(), co_stacksize=0))

    def read_other_memory(self):
        # A bytes object with a forged size, by a code object with a forged stack.
        code = (lambda: 0).__code__
        forged = code.replace(co_code=bytes((124, 255)) * 8 + bytes((83, 0)), co_nlocals=0)
        return bytes(eval(forged))

    # Answers

    def answer_none_at_all(self):
        raise AppletError(0x9000)

    def answer_too_long(self):
        return bytes(3 << 20)

    def answer_a_little_too_long(self):
        return bytes(1 << 20)

    def answer_text(self):
        return "text"

    def answer_a_list(self):
        return [1, 2, 3]

    def answer_bytes_that_are_not(self):
        class Liar(bytes):
            def __len__(self):
                return -1

            def __add__(self, other):
                return object()

        return Liar(b"liar")

    # Exceptions

    def raise_exit(self):
        raise SystemExit(7)

    def raise_interrupt(self):
        raise KeyboardInterrupt

    def raise_base(self):
        raise BaseException("base")

    def raise_generator_exit(self):
        raise GeneratorExit

    def raise_what_cannot_be_shown(self):
        class Nasty(BaseException):
            def __str__(self):
                raise self

            __repr__ = __str__

        raise Nasty

    def raise_a_group(self):
        raise ExceptionGroup("x" * 10_000, [ValueError("y" * 10_000)] * 100)

    def raise_a_chain(self):
        error = None
        for index in range(2_000):
            fresh = ValueError(index)
            fresh.__cause__ = error
            error = fresh
        raise error

    def raise_from_surrogates(self):
        raise ValueError("\ud800")

    # Host calls

    def statement_with_everything_wrong(self):
        try:
            self.platform.statements.open_amounts("\0" * 100, -1, 2**63 - 1, b"", b"")
        except Refused:
            raise AppletError(0x6A80)

    def huge_weights(self):
        import sys

        statements = sys.modules["wit_world.imports"].statements
        statements.open_amounts("1-0:1.8.0*255", 0, 40 * 86_400, "\0" * (8 << 20), "")

    def huge_log(self):
        self.platform.log.write("x" * (8 << 20))

    def huge_key(self):
        self.platform.store.put(bytes(4 << 20), b"")

    def huge_name(self):
        self.platform.calendar.slots("x" * (4 << 20), 0, 900)

    def huge_signature(self):
        self.platform.signatures.verify_ed25519(bytes(2 << 20), bytes(2 << 20), bytes(2 << 20))

    def odd_weights(self):
        import sys

        statements = sys.modules["wit_world.imports"].statements
        statements.open_amounts("1-0:1.8.0*255", 0, 40 * 86_400, "1234567", "")

    def wrong_types(self):
        import sys

        sys.modules["wit_world.imports"].statements.open_amounts(1, "2", None, [], {})

    def wrong_numbers(self):
        import sys

        sys.modules["wit_world.imports"].statements.open_amounts("x", 2**70, -(2**70), "", "")

    def text_that_is_no_bytes(self):
        import sys

        sys.modules["wit_world.imports"].store.put("snow\N{SNOWMAN}", "")

    def answer_text_that_is_no_bytes(self):
        import sys

        sys.modules["applets.sdk.guest.services"].str = lambda *_: "snow\N{SNOWMAN}"

    def surrogates(self):
        self.platform.log.write("\ud800")

    def negative_function(self):
        import componentize_py_runtime

        componentize_py_runtime.call_import(2**31 - 1, [], 0)

    def forged_function(self):
        import componentize_py_runtime

        for index in range(100):
            componentize_py_runtime.call_import(index, [object()] * 9, 0)

    def flood_the_log(self):
        for index in range(1_000):
            print("x" * 1_000)

    # The runtime itself

    def delete_everything(self):
        import sys

        for name in list(sys.modules):
            module = sys.modules.pop(name)
            vars(module).clear() if hasattr(module, "__dict__") else None

    def replace_the_runtime(self):
        import sys

        guest = sys.modules["applets.sdk.guest.runtime_guest"]
        guest.Applet.process = lambda self, command: b"owned\x90\x00"
        guest.Response.encode = lambda self: b"owned\x90\x00"
        sys.modules["wit_world.imports"].clock.now = lambda: 42

    def replace_the_builtins(self):
        import builtins

        builtins.len = lambda value: 0
        builtins.isinstance = lambda *_: True
        builtins.bytes = str

    def put_traps_everywhere(self):
        import sys

        def trap(*_):
            while True:
                pass

        sys.settrace(trap)
        sys.setprofile(trap)
        sys.excepthook = sys.unraisablehook = trap

    def load_itself_again(self):
        import sys

        guest = sys.modules["applets.sdk.guest.runtime_guest"]
        guest.Python().load(b"", "x")
