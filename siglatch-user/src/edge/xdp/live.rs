//! The rules of the program at work: others are written beside those that count, then they count. Never decides what they are.
//!
//! Needs no capability: they are written through a descriptor that is open already.

use std::thread;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, MapData};
use rustix::thread::{MembarrierCommand, membarrier};
use siglatch_common::layout::{PortRule, RulePair, Rules, Tuning};

use super::{Measures, XdpError, take};

/// The rules of one program.
pub struct LiveRules {
    map: Array<MapData, RulePair>,
    /// As they stand in the map.
    pair: RulePair,
}

impl LiveRules {
    /// Those of a program that nobody runs yet.
    pub fn begin(ebpf: &mut Ebpf, ports: &[PortRule], tuning: &Tuning) -> Result<Self, XdpError> {
        let map = Array::try_from(take(ebpf, RULES)?).map_err(XdpError::map(RULES))?;
        let mut rules = Self { map, pair: RulePair::new(Rules::new(ports, tuning)) };
        rules.write()?;
        Ok(rules)
    }

    /// Lets other rules count. Each frame is judged by the earlier ones or by these, never by a mixture; when this returns,
    /// no frame is judged by the earlier ones any more. Waits for that, some ten milliseconds, unless they are the same.
    ///
    /// The sizes of tables, and the key that spreads sources over them, stay as they are.
    ///
    /// # Errors
    /// If the kernel takes no map update. The earlier rules count then.
    pub fn set(&mut self, ports: &[PortRule], measures: &Measures) -> Result<(), XdpError> {
        let earlier = *self.pair.counting();
        let Tuning { spread, bucket_mask, copy_mask, .. } = earlier.tuning;
        let rules = Rules::new(ports, &Tuning { spread, bucket_mask, copy_mask, ..measures.tuning });
        if rules == earlier {
            return Ok(());
        }
        // The kernel writes the whole pair, and those that count over themselves.
        *self.pair.idle() = rules;
        self.write()?;
        self.pair.counts ^= 1;
        let flipped = self.write();
        if flipped.is_err() {
            self.pair.counts ^= 1;
        }
        settle();
        flipped
    }

    fn write(&mut self) -> Result<(), XdpError> {
        self.map.set(0, self.pair, 0).map_err(XdpError::map(RULES))
    }
}

/// Waits until every program that is running has ended: the kernel's `membarrier(2)` with `MEMBARRIER_CMD_GLOBAL` is a grace
/// period of RCU, and a program runs inside one.
fn settle() {
    if membarrier(MembarrierCommand::Global).is_err() {
        // Kernels with CPUs that nothing may interrupt (nohz_full) refuse. A program runs for microseconds.
        thread::sleep(LONG_ENOUGH);
    }
}

/// The program's global.
const RULES: &str = ".data.rules";

const LONG_ENOUGH: Duration = Duration::from_millis(20);
