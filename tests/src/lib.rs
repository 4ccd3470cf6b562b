//! What the suites, the demonstration and the measurements stand on: frames, the program under test, namespaces.
//! Never judges siglatch itself: the suites do.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test harness is made of files, clocks and processes"
)]

pub mod bpf;
pub mod capture;
pub mod cases;
pub mod earlier;
pub mod fake_clock;
pub mod flood;
pub mod gateway;
pub mod held_thread;
pub mod http;
pub mod killed_at;
pub mod machine;
pub mod mutation;
pub mod netns;
pub mod packet;
pub mod parts;
pub mod probe;
pub mod process;
pub mod raw_bpf;
pub mod scene;
pub mod script;
pub mod service;
pub mod small_disk;
pub mod stage;
pub mod stores;
pub mod table_host;
pub mod vectors;
