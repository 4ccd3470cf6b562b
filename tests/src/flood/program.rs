//! The generator's BPF program: makes each copy of the junk another one, and sends it out of an interface.
//! Never runs on an interface itself.

use std::io;

use super::junk::{Junk, Source};
use crate::packet::Built;
use crate::raw_bpf::{Alu, Answer, Assembly, Helper, Number, Program, R0, R1, R2, R3, R6, R7, R8, R9, Width};

/// Makes the program for the frames of `junk`.
///
/// It counts them in `sent`.
pub(super) fn load(junk: &Junk, built: &Built, interface: u32, sent: &Number) -> io::Result<Program> {
    let mut assembly = Assembly::default();
    let drop = assembly.label();
    assembly.frame(R1, R7, R6, built.bytes.len(), drop);
    if junk.is_varied() {
        vary(&mut assembly, built.payload_at as i16);
    }
    if junk.source() == Source::Forged {
        forge(&mut assembly, built);
    }
    assembly.number(R1, sent);
    assembly.load(Width::Double, R2, R1, 0);
    assembly.alu(Alu::Add, R2, 1);
    assembly.store(Width::Double, R1, 0, R2);
    assembly.set(R1, interface.cast_signed());
    assembly.set(R2, 0);
    assembly.call(Helper::Redirect);
    assembly.exit();
    assembly.place(drop);
    assembly.answer(Answer::Drop);
    Program::load(&assembly)
}

/// Writes 64 random bits where the filter looks for copies, which is 8 bytes further on the stamped wire; and the
/// number of one of the first four key slots where a stamp has it, so that each stamp costs what a stamp can cost.
/// As a sealed packet, the payload remains a number below any RSA modulus.
fn vary(assembly: &mut Assembly, payload_at: i16) {
    assembly.call(Helper::Random);
    assembly.copy(R8, R0);
    assembly.call(Helper::Random);
    assembly.copy(R9, R0);
    for (offset, register) in [(12, R8), (16, R9), (20, R8), (24, R9)] {
        assembly.store(Width::Word, R7, payload_at + offset, register);
    }
    assembly.alu(Alu::And, R8, 3);
    assembly.alu(Alu::Or, R8, 0x50);
    assembly.store(Width::Byte, R7, payload_at, R8);
}

/// Writes a random source, and the header's checksum for it. Frames are seen again: nothing is taken from the last.
fn forge(assembly: &mut Assembly, built: &Built) {
    assembly.random_source(R7, built.ip_at as i16 + SOURCE);
    // RFC 1071: the sum of all other words, which is the same for every copy, and of the source's two.
    let mut header = built.bytes[built.ip_at..built.transport_at].to_vec();
    for (at, length) in [(CHECKSUM, 2), (SOURCE, 4)] {
        header[at as usize..][..length].fill(0);
    }
    let sum: u32 = header.chunks(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]]))).sum();
    assembly.load(Width::Half, R1, R7, built.ip_at as i16 + SOURCE);
    assembly.load(Width::Half, R2, R7, built.ip_at as i16 + SOURCE + 2);
    assembly.alu_register(Alu::Add, R1, R2);
    assembly.alu(Alu::Add, R1, sum.cast_signed());
    for _ in 0..2 {
        assembly.copy(R3, R1);
        assembly.alu(Alu::ShiftRight, R3, 16);
        assembly.alu(Alu::And, R1, 0xffff);
        assembly.alu_register(Alu::Add, R1, R3);
    }
    assembly.alu(Alu::Xor, R1, 0xffff);
    assembly.store(Width::Half, R7, built.ip_at as i16 + CHECKSUM, R1);
}

/// RFC 791, section 3.1: offsets in the IPv4 header.
const CHECKSUM: i16 = 10;
const SOURCE: i16 = 12;
