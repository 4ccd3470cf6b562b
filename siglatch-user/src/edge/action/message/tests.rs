use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

#[test]
fn an_order_has_one_form() {
    let order = Order {
        generation: 0x0403_0201,
        table: Digest(0x0a),
        job: Job {
            id: JobId(5),
            program: ProgramId(6),
            why: Why::Failure(JobId(4), How::Exited(3)),
            call: Call {
                knock: KnockId::new(1, 2),
                source: Address::v4([192, 0, 2, 1]),
                user: UserId(0x0807),
                user_name: "ann".into(),
                action: ActionId(9),
                action_name: "vpn".into(),
                sealed: true,
                payload: Payload::new(&[0, 255]).unwrap(),
            },
        },
    };
    let mut bytes = vec![
        3, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 6, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0,
        16, 0,
    ];
    bytes.extend(
        b"0000000100000002\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\x07\x08\x03\0ann\x09\x03\0vpn\x01\x02\0\0\xff",
    );
    assert_eq!(order.encode(), bytes);
    assert_eq!(Order::decode(&bytes), Some(order));
    assert_eq!(Order::decode_head(&bytes), Some((0x0403_0201, JobId(5))));
}

#[test]
fn an_order_takes_nothing_that_is_no_judged_knock() {
    let sound = order(b"").encode();
    let at = |text: &[u8]| sound.windows(text.len()).position(|window| window == text).unwrap();
    for (place, byte, what) in [
        (0, PROGRAM, "a program behind the table"),
        (23, 3, "a reason that there is not"),
        (at(b"ann"), 0, "a zero byte in a name"),
        (at(b"ann"), 0xff, "a name that is no text"),
        (at(b"0000"), b'+', "another form of a number"),
        (at(b"vpn") + 3, 2, "neither sealed nor not"),
        (at(b"vpn") + 4, 200, "a payload that is too long"),
    ] {
        let mut bytes = sound.clone();
        bytes[place] = byte;
        assert_eq!(Order::decode(&bytes), None, "{what}");
    }
    assert_eq!(Order::decode(&[&*sound, &[0]].concat()), None, "more behind it");
    let mut long = order(b"");
    long.job.call.user_name = "x".repeat(NAME_MAX + 1);
    assert_eq!(Order::decode(&long.encode()), None, "a long name");
}

#[test]
fn a_program_that_cannot_be_told_whole_is_not_told() {
    let sound = program("/bin/true", &["a"]);
    assert_eq!(decode_program(&encode_program(&sound).unwrap()), Some(sound.clone()));
    for unsound in
        [program("bin/true", &[]), program("/bin/true", &["a\0b"]), program("/bin/true", &[&"x".repeat(MESSAGE_MAX)])]
    {
        assert_eq!(encode_program(&unsound), None);
    }
    assert_eq!(encode_program(&Program { command: Vec::new(), ..sound }), None);
}

#[test]
fn nothing_cut_short_is_read() {
    let whole = [
        Opening { generation: 7, programs: 1 }.encode(),
        encode_program(&program("/bin/true", &["a", "b"])).unwrap(),
        order(b"words").encode(),
        Report::Hello { generation: 3, table: Digest(4) }.encode(),
        Report::Read(5, Ok(Digest(6))).encode(),
        Report::Read(5, Err("no".into())).encode(),
        Request::Read(7).encode(),
        Request::Adopt(Digest(8)).encode(),
        Report::Started(JobId(9)).encode(),
        Report::Ended(JobId(9), ending(How::Killed(9))).encode(),
    ];
    for bytes in whole {
        for length in 0..bytes.len() {
            assert!(!is_read(&bytes[..length]), "{length} of {bytes:?}");
        }
        assert!(is_read(&bytes));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), kind in prop_oneof![0..4_u8, 15..20_u8]) {
        is_read(&bytes);
        is_read(&[&[kind], &*bytes].concat());
    }

    #[test]
    fn what_is_read_would_be_written_so(bytes in vec(any::<u8>(), 0..60), at in 0..200_usize, byte: u8) {
        let mut bytes = order(&bytes).encode();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        if let Some(order) = Order::decode(&bytes) {
            prop_assert_eq!(order.encode(), bytes);
        }
    }

    #[test]
    fn every_order_reads_back(
        numbers: (u32, u64, u16, u16, u8), why in whys(), run: (u32, u32), octets: [u8; 16], sealed: bool,
        names in ("[^\0]{0,60}", "[^\0]{0,60}"), payload in vec(any::<u8>(), 0..=PAYLOAD_MAX),
    ) {
        let (generation, id, program, user, action) = numbers;
        let call = Call {
            knock: KnockId::new(run.0, run.1), source: Address { octets }, user: UserId(user), user_name: names.0,
            action: ActionId(action), action_name: names.1, sealed, payload: Payload::new(&payload).unwrap(),
        };
        let order = Order { generation, table: Digest(9), job: Job { id: JobId(id), program: ProgramId(program), why, call } };
        prop_assert_eq!(Order::decode(&order.encode()), Some(order));
    }

    #[test]
    fn every_end_reads_back(how in hows(), nanos: u64, written: u64, output in vec(any::<u8>(), 0..=Ending::OUTPUT_MAX)) {
        let report = Report::Ended(JobId(written), Ending { how, took: Duration::from_nanos(nanos), output, written });
        prop_assert_eq!(Report::decode(&report.encode()), Some(report));
    }

    #[test]
    fn every_program_reads_back(
        texts in vec("[^\0]{0,40}", 0..6), run_as in "[^\0]{0,40}", on_failure in option::of(any::<u16>()), numbers: (u64, u64, u32),
    ) {
        let mut program = program("/opt/a b", &[]);
        program.run_groups.clone_from(&texts);
        program.command.extend(texts);
        (program.run_as, program.on_failure) = (run_as, on_failure.map(ProgramId));
        (program.bounds.output, program.bounds.memory, program.bounds.processes) = numbers;
        prop_assert_eq!(decode_program(&encode_program(&program).unwrap()), Some(program));
    }
}

fn whys() -> impl Strategy<Value = Why> {
    prop_oneof![
        Just(Why::Knock),
        any::<u64>().prop_map(|debt| Why::Undo(DebtId(debt))),
        (any::<u64>(), hows()).prop_map(|(job, how)| Why::Failure(JobId(job), how)),
    ]
}

fn hows() -> impl Strategy<Value = How> {
    let bounds = [Bound::Time, Bound::Cpu, Bound::Output, Bound::Processes, Bound::Stop].map(How::Bounded);
    let reasons = [
        NotStarted::Missing,
        NotStarted::NotExecutable,
        NotStarted::WritableByOthers,
        NotStarted::NoSuchUser,
        NotStarted::OtherUser,
        NotStarted::NoFolder,
        NotStarted::NoStarter,
        NotStarted::Gone,
    ];
    prop_oneof![
        any::<u8>().prop_map(How::Exited),
        any::<i32>().prop_map(How::Killed),
        proptest::sample::select(bounds.to_vec()),
        any::<i32>().prop_map(|number| How::NotStarted(NotStarted::System(number))),
        proptest::sample::select(reasons.map(How::NotStarted).to_vec()),
        Just(How::Lost),
    ]
}

fn is_read(bytes: &[u8]) -> bool {
    Opening::decode(bytes).is_some()
        || decode_program(bytes).is_some()
        || Request::decode(bytes).is_some()
        || Report::decode(bytes).is_some()
}

fn order(payload: &[u8]) -> Order {
    let call = Call {
        knock: KnockId::new(0, 0),
        source: Address::v4([192, 0, 2, 1]),
        user: UserId(1),
        user_name: "ann".into(),
        action: ActionId(1),
        action_name: "vpn".into(),
        sealed: true,
        payload: Payload::new(payload).unwrap(),
    };
    Order { generation: 1, table: Digest(9), job: Job { id: JobId(1), program: ProgramId(0), why: Why::Knock, call } }
}

fn program(path: &str, arguments: &[&str]) -> Program {
    Program {
        name: "vpn".into(),
        command: [path].iter().chain(arguments).map(|text| (*text).to_owned()).collect(),
        run_as: "nobody".into(),
        run_groups: vec!["adm".into()],
        folder: "/".into(),
        bounds: Bounds::DEFAULT,
        at_once: NonZeroUsize::MIN,
        queue: 1,
        on_failure: None,
    }
}

fn ending(how: How) -> Ending {
    Ending { how, took: Duration::from_millis(5), output: b"out".to_vec(), written: 3 }
}
