//! BPF instructions, written by hand and in order. Never checks what the verifier checks.

use std::os::fd::{AsFd as _, AsRawFd as _};

use super::{Answer, Number};

/// A program in the making.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    instructions: Vec<Instruction>,
    /// Where each label lies, once it is placed.
    labels: Vec<Option<usize>>,
    /// Jumps, and the labels they go to.
    jumps: Vec<(usize, Label)>,
}

/// A place to jump to.
#[derive(Clone, Copy, Debug)]
pub struct Label(usize);

/// One of the eleven registers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Register(u8);

/// How many bytes a load or store moves. `linux/bpf_common.h`: `BPF_W`, `BPF_H`, `BPF_B`; `linux/bpf.h`: `BPF_DW`.
#[derive(Clone, Copy, Debug)]
pub enum Width {
    /// One.
    Byte = 0x10,
    /// Two.
    Half = 0x08,
    /// Four.
    Word = 0x00,
    /// Eight.
    Double = 0x18,
}

/// Arithmetic on 64 bits. `linux/bpf_common.h` and `linux/bpf.h`, operations of `BPF_ALU64`.
#[derive(Clone, Copy, Debug)]
pub enum Alu {
    /// Sum.
    Add = 0x00,
    /// Difference.
    Sub = 0x10,
    /// Bitwise or.
    Or = 0x40,
    /// Bitwise and.
    And = 0x50,
    /// Shift to the right, filling with zeroes.
    ShiftRight = 0x70,
    /// Remainder, unsigned.
    Mod = 0x90,
    /// Bitwise exclusive or.
    Xor = 0xa0,
    /// Copy.
    Move = 0xb0,
}

/// When to jump, by unsigned comparison. `linux/bpf_common.h` and `linux/bpf.h`, operations of `BPF_JMP`.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// Greater.
    Greater = 0x20,
    /// Not equal.
    NotEqual = 0x50,
}

/// A helper by its number in `linux/bpf.h`, `___BPF_FUNC_MAPPER`.
#[derive(Clone, Copy, Debug)]
pub enum Helper {
    /// `bpf_get_prandom_u32`.
    Random = 7,
    /// `bpf_redirect`.
    Redirect = 23,
}

impl Assembly {
    /// Appends `to = to (operation) value`.
    pub fn alu(&mut self, operation: Alu, to: Register, value: i32) {
        self.push(BPF_ALU64 | operation as u8, to, R0, 0, value);
    }

    /// Appends `to = to (operation) from`.
    pub fn alu_register(&mut self, operation: Alu, to: Register, from: Register) {
        self.push(BPF_ALU64 | BPF_X | operation as u8, to, from, 0, 0);
    }

    /// Appends `to = value`.
    pub fn set(&mut self, to: Register, value: i32) {
        self.alu(Alu::Move, to, value);
    }

    /// Appends `to = from`.
    pub fn copy(&mut self, to: Register, from: Register) {
        self.alu_register(Alu::Move, to, from);
    }

    /// Appends the loading of what lies at `from + offset`.
    pub fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.push(BPF_LDX_MEM | width as u8, to, from, offset, 0);
    }

    /// Appends the storing of a register at `to + offset`.
    pub fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.push(BPF_STX_MEM | width as u8, to, from, offset, 0);
    }

    /// Appends `to = the address of a number`. The program holds the number from when it is loaded.
    pub fn number(&mut self, to: Register, number: &Number) {
        let descriptor = number.as_fd().as_raw_fd() as u32;
        self.wide(to, Register(BPF_PSEUDO_MAP_VALUE), descriptor, 0);
    }

    /// A label, to be placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.instructions.len());
    }

    /// Appends a jump that is taken if `register (test) value`.
    pub fn jump_if(&mut self, test: Test, register: Register, value: i32, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(BPF_JMP | test as u8, register, R0, 0, value);
    }

    /// Appends a jump that is taken if `register (test) other`.
    pub fn jump_if_register(&mut self, test: Test, register: Register, other: Register, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(BPF_JMP | BPF_X | test as u8, register, other, 0, 0);
    }

    /// Appends the call of a helper.
    pub fn call(&mut self, helper: Helper) {
        self.push(BPF_CALL, R0, R0, 0, helper as i32);
    }

    /// Appends the look at the frame of the context in `context`: `begin = its first byte`, of `length` at least; frames
    /// that are shorter go to `short`. Overwrites `end` and [`R3`].
    pub fn frame(&mut self, context: Register, begin: Register, end: Register, length: usize, short: Label) {
        // `linux/bpf.h`, `struct xdp_md`: where the frame begins, and where it ends.
        self.load(Width::Word, begin, context, 0);
        self.load(Width::Word, end, context, 4);
        self.copy(R3, begin);
        self.alu(Alu::Add, R3, i32::try_from(length).expect("frames are short"));
        self.jump_if_register(Test::Greater, R3, end, short);
    }

    /// Appends the writing of a random IPv4 source at `frame + offset`: any of 1.0.0.0 to 223.255.255.255, but for
    /// 127.0.0.0/8, 192.0.0.0/8 and 198.0.0.0/8. Overwrites what calls overwrite.
    pub fn random_source(&mut self, frame: Register, offset: i16) {
        self.call(Helper::Random);
        // The first octet is the lowest byte.
        self.copy(R1, R0);
        self.alu(Alu::And, R1, 0xff);
        self.alu(Alu::Mod, R1, 223);
        self.alu(Alu::Add, R1, 1);
        for taken in [127, 192, 198] {
            let free = self.label();
            self.jump_if(Test::NotEqual, R1, taken, free);
            self.alu(Alu::Sub, R1, 1);
            self.place(free);
        }
        self.store(Width::Word, frame, offset, R0);
        self.store(Width::Byte, frame, offset, R1);
    }

    /// Appends the end of the program; the answer is in [`R0`].
    pub fn exit(&mut self) {
        self.push(BPF_EXIT, R0, R0, 0, 0);
    }

    /// Appends the end of the program with that answer.
    pub fn answer(&mut self, answer: Answer) {
        self.set(R0, answer as i32);
        self.exit();
    }

    /// The finished program.
    ///
    /// # Panics
    /// If it jumps to a label that was placed nowhere.
    pub(super) fn instructions(&self) -> Vec<Instruction> {
        let mut instructions = self.instructions.clone();
        for (at, label) in &self.jumps {
            let to = self.labels[label.0].expect("every label is placed");
            let distance = to as isize - *at as isize - 1;
            instructions[*at].offset = i16::try_from(distance).expect("programs are short");
        }
        instructions
    }

    fn wide(&mut self, to: Register, kind: Register, low: u32, high: u32) {
        self.push(BPF_LD_IMM64, to, kind, 0, low.cast_signed());
        self.push(0, R0, R0, 0, high.cast_signed());
    }

    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        let registers = from.0 << 4 | to.0;
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }
}

/// `linux/bpf.h`, `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// What helpers answer with, and the program at its end.
pub const R0: Register = Register(0);
/// First argument; at the beginning, the context.
pub const R1: Register = Register(1);
/// Second argument.
pub const R2: Register = Register(2);
/// Third argument.
pub const R3: Register = Register(3);
/// Kept over calls.
pub const R6: Register = Register(6);
/// Kept over calls.
pub const R7: Register = Register(7);
/// Kept over calls.
pub const R8: Register = Register(8);
/// Kept over calls.
pub const R9: Register = Register(9);

/// `linux/bpf_common.h` and `linux/bpf.h`: classes, modes and sources, as they are combined here.
const BPF_ALU64: u8 = 0x07;
const BPF_JMP: u8 = 0x05;
const BPF_X: u8 = 0x08;
const BPF_LDX_MEM: u8 = 0x61;
const BPF_STX_MEM: u8 = 0x63;
const BPF_LD_IMM64: u8 = 0x18;
const BPF_CALL: u8 = 0x85;
const BPF_EXIT: u8 = 0x95;
/// `linux/bpf.h`: in the place of the source register.
const BPF_PSEUDO_MAP_VALUE: u8 = 2;
