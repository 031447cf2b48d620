#!/usr/bin/env python3
"""Kernels in PTX to C++, for the emulator: what nvcc made of them is run, not what they were made from.

    translate.py FILE.ptx... > kernels.cc

Each instruction becomes one statement over variables named as the registers; ptx.h has what is more than
an expression. An instruction that is not known ends the translation.
"""
import re
import sys

TYPES = {"pred": "bool", "f16": "_Float16", "f32": "float", "f64": "double"}
for bits in (8, 16, 32, 64):
    TYPES.update({f"u{bits}": f"uint{bits}_t", f"b{bits}": f"uint{bits}_t", f"s{bits}": f"int{bits}_t"})
SPECIAL = {"%tid": "index", "%ctaid": "block_index", "%ntid": "block_dim", "%nctaid": "grid_dim"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
# without an order, NaN makes these true
UNORDERED = {"ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<", "equ": "!="}
INFIX = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^"}
SUFFIXES = {"rn", "rz", "rm", "rzi", "rni", "approx", "ftz", "lo", "hi", "wide", "sync", "aligned", "global",
            "shared", "param", "to", "bfly", "idx", "ballot", "warp", "uni", "cg"}


SHARED = r"\.shared \.align \d+ \.[a-z](\d+) ([\w$]+)(?:\[(\d*)\])?"


def shared_size(match):
    """Bytes of a variable, 0 if what launches the kernel says how many."""
    return int(match[1]) // 8 * (1 if match[3] is None else int(match[3] or 0))


class Kernel:
    def __init__(self, name):
        self.name, self.params, self.size, self.shared, self.bytes, self.lines = name, {}, 0, {}, 0, []

    def add_param(self, name, align, size):
        self.size = (self.size + align - 1) // align * align
        self.params[name] = (self.size, size)
        self.size += size

    def place(self, name, size):
        """The offset of a shared variable, which has one from its first use on."""
        if name not in self.shared:
            self.shared[name] = self.bytes
            self.bytes += (size + 15) // 16 * 16
        return self.shared[name]


class Translator:
    def __init__(self, shared):
        self.module_shared, self.kernel = shared, None

    def name(self, register):
        return register.replace("%", "v_")

    def value(self, text, kind):
        """An operand as a value of a type."""
        t = TYPES[kind]
        if text.startswith("0f"):
            return f"as<{t}>(0x{text[2:]}u)"
        if text.startswith("0d"):
            return f"as<{t}>(0x{text[2:]}ull)"
        if re.fullmatch(r"-?\d+|0[xX][0-9a-fA-F]+", text):
            return f"({t}) {text}ll" if not text.startswith("-") else f"({t}) ({text}ll)"
        if "." in text and text.split(".")[0] in SPECIAL:
            register, axis = text.split(".")
            return f"({t}) emulator_self->{SPECIAL[register]}.{axis}"
        if text.startswith("%"):
            return f"as<{t}>({self.name(text)})"
        return f"({t}) ({self.symbol(text)})"

    def symbol(self, text):
        k = self.kernel
        if text in k.params:
            return f"(uint64_t) params + {k.params[text][0]}"
        if self.module_shared.get(text) == 0:
            return "dynamic"
        return str(k.place(text, self.module_shared[text]))

    def address(self, text, space):
        base, offset = re.fullmatch(r"\[([^+\]]+)(?:\+(-?\d+))?\]", text).groups()
        sum_ = f"{self.value(base, 'u32' if space == 'shared' else 'u64')} + ({offset or 0})"
        return f"shared + (uint32_t) ({sum_})" if space == "shared" else f"(unsigned char *) ({sum_})"

    def put(self, to, kind, value):
        return f"put<{TYPES[kind]}>({self.name(to)}, {value});"

    def operands(self, text):
        return [o.strip() for o in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", text)]

    def vector(self, text):
        return [o.strip() for o in text.strip("{} ").split(",")]

    def move_memory(self, op, parts, o):
        space = next(s for s in ("global", "shared", "param") if s in parts)
        kind, loads = parts[-1], op == "ld"
        register, address = (o[0], o[1]) if loads else (o[1], o[0])
        registers = self.vector(register) if register.startswith("{") else [register]
        out = f"{{ unsigned char *at = {self.address(address, space)}; "
        for i, r in enumerate(registers):
            place = f"at + {i} * sizeof({TYPES[kind]})"
            out += self.put(r, kind, f"load<{TYPES[kind]}>({place})") if loads else \
                f"store<{TYPES[kind]}>({place}, {self.value(r, kind)});"
        return out + " }"

    def move(self, kind, o):
        if o[0].startswith("{"):
            low, high = self.vector(o[0])
            half = "b" + str(int(kind[1:]) // 2)
            whole = f"{{ auto whole = {self.value(o[1], kind)}; "
            return whole + self.put(low, half, f"({TYPES[half]}) whole") + \
                self.put(high, half, f"({TYPES[half]}) (whole >> {half[1:]})") + " }"
        if o[1].startswith("{"):
            low, high = self.vector(o[1])
            half = "b" + str(int(kind[1:]) // 2)
            return self.put(o[0], kind, f"({TYPES[kind]}) {self.value(low, half)} | "
                            f"({TYPES[kind]}) {self.value(high, half)} << {half[1:]}")
        return self.put(o[0], kind, self.value(o[1], kind))

    def compute(self, op, parts, o):
        """Instructions that are an expression; None for others."""
        kind = parts[-1]
        t = TYPES.get(kind)
        v = [self.value(x, kind) for x in o[1:]] if t and not any(x[0] in "{[" for x in o) and "|" not in o[0] \
            else []
        floating = kind[0] == "f"
        if op in INFIX:
            return self.put(o[0], kind, f"({t}) ({v[0]} {INFIX[op]} {v[1]})")
        if op == "not":
            return self.put(o[0], kind, f"!{v[0]}" if kind == "pred" else f"({t}) ~{v[0]}")
        if op == "neg":
            return self.put(o[0], kind, f"({t}) -{v[0]}")
        if op == "abs":
            return self.put(o[0], kind, f"({t}) std::abs({v[0]})")
        if op in ("min", "max"):
            return self.put(o[0], kind, f"std::f{op}({v[0]}, {v[1]})" if floating else f"std::{op}({v[0]}, {v[1]})")
        if op == "mul" and "wide" in parts:
            wide = kind[0] + str(2 * int(kind[1:]))
            return self.put(o[0], wide, f"({TYPES[wide]}) {v[0]} * ({TYPES[wide]}) {v[1]}")
        if op == "mul" and "hi" in parts:
            return self.put(o[0], kind, f"({t}) ((__int128) {v[0]} * {v[1]} >> {kind[1:]})")
        if op == "mul":
            return self.put(o[0], kind, f"product({v[0]}, {v[1]})")
        if op == "mad":
            return self.put(o[0], kind, f"({t}) (product({v[0]}, {v[1]}) + {v[2]})")
        if op == "fma":
            return self.put(o[0], kind, f"std::fma({v[0]}, {v[1]}, {v[2]})")
        if op in ("div", "rem"):
            return self.put(o[0], kind, f"({t}) ({v[0]} {'/' if op == 'div' else '%'} {v[1]})")
        if op in ("shl", "shr"):
            by = self.value(o[2], "u32")
            return self.put(o[0], kind, f"{op}<{t}>({self.value(o[1], kind)}, {by})")
        if op == "setp":
            order = parts[0]
            test = f"{v[0]} {COMPARE[order]} {v[1]}" if order in COMPARE else f"!({v[0]} {UNORDERED[order]} {v[1]})"
            return f"{self.name(o[0])} = {test};"
        if op == "selp":
            return self.put(o[0], kind, f"{self.value(o[3], 'pred')} ? {v[0]} : {v[1]}")
        if op == "bfi":
            return self.put(o[0], kind, f"insert_bits<{t}>({v[0]}, {v[1]}, {v[2]}, {v[3]})")
        if op == "dp4a":
            return self.put(o[0], "s32", f"dot_bytes({v[0]}, {v[1]}, {v[2]})")
        if op in ("ex2", "rcp", "rsqrt", "sqrt"):
            name = {"ex2": "std::exp2({})", "rcp": "1 / {}", "rsqrt": "1 / std::sqrt({})", "sqrt": "std::sqrt({})"}
            return self.put(o[0], kind, f"({t}) (" + name[op].format(v[0]) + ")")
        if op == "cvta":
            return self.put(o[0], kind, v[0])
        if op == "cvt":
            to = parts[-2]
            rounding = "rint" if "rni" in parts else "trunc" if "rzi" in parts else ""
            return self.put(o[0], to, f"convert_{rounding}<{TYPES[to]}>({v[0]})" if rounding else
                            f"({TYPES[to]}) {v[0]}")
        return None

    def together(self, op, parts, o):
        """What a warp or a block does together, and asynchronous copies."""
        if op == "bar":
            return f"ptx_sync_warp({self.value(o[0], 'u32')});" if "warp" in parts else "emulator_sync_threads();"
        if op == "shfl":
            to = o[0].split("|")
            kind = "bfly" if "bfly" in parts else "idx"
            arguments = ", ".join(self.value(x, "u32") for x in o[1:])
            found = self.name(to[1]) if len(to) > 1 else "ignored"
            return f"{{ bool ignored; (void) ignored; {self.name(to[0])} = ptx_shuffle_{kind}({arguments}, &{found}); }}"
        if op == "vote":
            return self.put(o[0], "b32", f"ptx_ballot({self.value(o[1], 'pred')}, {self.value(o[2], 'u32')})")
        if op == "atom":
            return self.put(o[0], parts[-1], f"ptx_atomic_add<{TYPES[parts[-1]]}>({self.address(o[1], 'shared')}, "
                            f"{self.value(o[2], parts[-1])})")
        if op == "ldmatrix":
            to = ", ".join("&" + self.name(r) for r in self.vector(o[0]))
            return f"ptx_load_matrices({self.address(o[1], 'shared')}, {str('trans' in parts).lower()}, {to});"
        if op == "mma":
            c = [self.name(r) for r in self.vector(o[0])]
            inputs = ", ".join(self.value(r, "u32") for x in o[1:3] for r in self.vector(x))
            added = ", ".join(self.value(r, "f32") for r in self.vector(o[3]))
            kind = "ptx_bf16" if "bf16" in parts else "_Float16"
            return f"{{ uint32_t ab[] = {{{inputs}}}; float c[] = {{{added}}}; ptx_multiply<{kind}>(ab, c); " + \
                " ".join(f"{r} = c[{i}];" for i, r in enumerate(c)) + " }"
        if op == "cp" and "commit_group" in parts:
            return "emulator_copy_commit();"
        if op == "cp" and "wait_group" in parts:
            return f"emulator_copy_wait({o[0]});"
        if op == "cp":
            size = self.value(o[3], "u32")
            return f"emulator_copy_later({self.address(o[0], 'shared')}, {self.address(o[1], 'global')}, {size}, 16 - {size});"
        raise SystemExit(f"translate.py: {op}.{'.'.join(parts)} is not known")

    def instruction(self, text):
        guard = re.match(r"@(!?)(%p\d+)\s+", text)
        if guard:
            return f"if ({guard[1]}{self.name(guard[2])}) {{ {self.instruction(text[guard.end():])} }}"
        mnemonic, _, rest = text.partition(" ") if " " in text else text.partition("\t")
        op, *parts = mnemonic.strip().split(".")
        o = self.operands(rest.strip())
        if op == "bra":
            return f"goto {o[0].replace('$', 'L')};"
        if op == "ret":
            return "return;"
        if op in ("ld", "st"):
            return self.move_memory(op, parts, o)
        if op == "mov":
            return self.move(parts[-1], o)
        return self.compute(op, parts, o) or self.together(op, parts, o)

    def registers(self, text):
        kind, rest = re.fullmatch(r"\.reg \.(\w+)\s+(.*)", text).groups()
        names = []
        for item in rest.split(","):
            counted = re.fullmatch(r"(%\w+)<(\d+)>", item.strip())
            names += [f"{counted[1]}{i}" for i in range(int(counted[2]))] if counted else [item.strip()]
        return f"{TYPES[kind]} {', '.join(self.name(n) for n in names)};"


def statements(body):
    """One instruction, label or brace a time."""
    for line in body.splitlines():
        line = re.sub(r"//.*", "", line).strip()
        if line.startswith("{") and not line.endswith("}") or line in ("{", "}"):
            yield line[0]
            line = line[1:].strip()
        elif line.startswith("{"):
            line = line[1:-1].strip()
        for part in line.split(";"):
            if part.strip():
                yield re.sub(r"\s+", " ", part.strip())


def translate_body(translator, body):
    for s in statements(body):
        label = re.match(r"(\$\w+):\s*", s)
        if label:
            yield f"{label[1].replace('$', 'L')}:;"
            s = s[label.end():]
        shared = re.fullmatch(SHARED, s)
        if shared:
            translator.module_shared[shared[2]] = shared_size(shared)
        elif s.startswith(".reg"):
            yield translator.registers(s)
        elif s in ("{", "}"):
            yield s
        elif s and not s.startswith("."):
            yield translator.instruction(s)


def module(text):
    text = re.sub(r"^\s*\.loc .*$", "", text, flags=re.M)
    shared = {m[2]: shared_size(m) for m in re.finditer(r"^(?:\.extern )?" + SHARED + ";", text, re.M)}
    for entry in re.finditer(r"\.entry (\w+)\(([^)]*)\)[^{]*\{(.*?)\n\}", text, re.S):
        translator = Translator(dict(shared))
        translator.kernel = k = Kernel(entry[1])
        for p in re.finditer(r"\.param (?:\.align (\d+) )?\.(\w+) (\w+)(?:\[(\d+)\])?", entry[2]):
            size = int(p[4]) if p[4] else int(re.sub(r"\D", "", p[2])) // 8
            k.add_param(p[3], int(p[1] or size), size)
        k.lines = list(translate_body(translator, entry[3]))
        yield k


def main():
    kernels = []
    print('#include "ptx.h"')
    for path in sys.argv[1:]:
        with open(path) as f:
            for k in module(f.read()):
                print(f"static void\nkernel_{len(kernels)}(const void *params)\n{{\n"
                      f"unsigned char *shared = (unsigned char *) emulator_dynamic_shared();\n"
                      f"const uint32_t dynamic = {k.bytes};\n(void) params, (void) shared, (void) dynamic;")
                print("\n".join(k.lines) + "\n}")
                kernels.append(k)
    print("const ptx_kernel ptx_kernels[] = {")
    for i, k in enumerate(kernels):
        places = ", ".join(f"{{{offset}, {size}}}" for offset, size in k.params.values())
        print(f'{{"{k.name}", kernel_{i}, {len(k.params)}, {k.size}, {k.bytes}, {{{places}}}}},')
    print(f"}};\nconst int ptx_kernel_count = {len(kernels)};")


main()
