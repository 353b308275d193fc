"""The processor of this machine, and the machine code loaded into this process."""

import threading
from functools import cache

import llvmlite.binding as llvm


@cache
def processor() -> tuple[str, str]:
    """Return LLVM's name of the processor and its list of features."""
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # not supported on every system
        features = ""
    return llvm.get_host_cpu_name(), features


@cache
def target_machine() -> llvm.TargetMachine:
    """Return the target of compilation: this processor, for code that is run in memory."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    name, features = processor()
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=name, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


class _Loader:
    """The LLVM engine that holds all machine code of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: llvm.ExecutionEngine | None = None

    def load(self, name: str, code: bytes) -> int:
        with self._lock:
            if self._engine is None:
                self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            address: int = self._engine.get_function_address(name)
            return address


_loader = _Loader()


def load(name: str, code: bytes) -> int:
    """Load an object file for the life of the process; return the address of `name`."""
    return _loader.load(name, code)
