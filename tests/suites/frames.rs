//! The frame reader on this machine: every shape reads back as it was built, nothing makes it panic. Needs nothing.

use proptest::prelude::*;
use siglatch_common::address::Address;
use siglatch_common::frame::{Seen, read};
use siglatch_tests::packet::{Extension, Frame, Tag, Transport};
use siglatch_tests::scene::{GATEWAY, LONGEST_CHAIN, SEALED_PORT, SOURCE_PORT, STRANGER, Shape, payload};

#[test]
fn every_shape_reads_back_as_it_was_built() {
    for shape in Shape::all() {
        for length in [1, 245, 256, 1400] {
            let frame = shape.to_gateway(SEALED_PORT, &payload(length)).build();
            let expected = Datagram {
                source: Address::from(STRANGER.of(shape.is_v4())),
                destination: Address::from(GATEWAY.of(shape.is_v4())),
                source_port: SOURCE_PORT,
                dest_port: SEALED_PORT,
                fragment: false,
                payload_at: frame.payload_at,
                payload_len: length as u16,
            };
            assert_eq!(Datagram::read(&frame.bytes), Some(expected), "{shape:?}");
        }
    }
}

#[test]
fn every_prefix_of_every_shape_is_cut_short_until_the_udp_header_is_there() {
    for shape in Shape::all() {
        let frame = shape.to_gateway(SEALED_PORT, &payload(256)).build();
        let whole = read(&&frame.bytes[..]);
        for length in 0..=frame.bytes.len() {
            let expected = if length < frame.transport_at + 8 { Seen::CutShort } else { whole };
            assert_eq!(read(&&frame.bytes[..length]), expected, "{length} bytes of {shape:?}");
        }
    }
}

#[test]
fn no_prefix_of_anything_else_is_taken_for_a_datagram() {
    for shape in Shape::all() {
        let knock = shape.to_gateway(SEALED_PORT, &payload(256));
        for transport in [Transport::Tcp(2), Transport::Echo, Transport::Other(132)] {
            let bytes = knock.clone().carrying(transport).bytes();
            for length in 0..=bytes.len() {
                assert!(
                    matches!(read(&&bytes[..length]), Seen::CutShort | Seen::NotUdp),
                    "{length} bytes of {shape:?}"
                );
            }
        }
    }
}

#[test]
fn an_ipv4_address_in_an_ipv6_header_is_nobodys() {
    let mapped = std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets();
    let datagram = Datagram::read(&Frame::udp((mapped, 1).into(), (mapped, 2).into(), &payload(1)).bytes()).unwrap();
    assert_eq!((datagram.source, datagram.destination), (Address::UNSPECIFIED, Address::UNSPECIFIED));
}

/// Everything that can be read of a datagram's headers.
#[derive(Debug, Eq, PartialEq)]
struct Datagram {
    source: Address,
    destination: Address,
    source_port: u16,
    dest_port: u16,
    fragment: bool,
    payload_at: usize,
    payload_len: u16,
}

impl Datagram {
    fn read(bytes: &[u8]) -> Option<Self> {
        let Seen::Udp(headers) = read(&bytes) else { return None };
        Some(Self {
            source: headers.source(&bytes)?.address(),
            destination: headers.destination(&bytes)?.address(),
            source_port: headers.source_port(&bytes)?,
            dest_port: headers.dest_port,
            fragment: headers.fragment,
            payload_at: headers.payload_at(),
            payload_len: headers.payload_len(&bytes)?,
        })
    }
}

fn tag() -> impl Strategy<Value = Tag> {
    (0..4096_u16, any::<bool>()).prop_map(|(id, service)| if service { Tag::Service(id) } else { Tag::Customer(id) })
}

fn followed_extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        (0..20_u8).prop_map(Extension::HopByHop),
        (0..20_u8).prop_map(Extension::Destination),
        (0..20_u8).prop_map(|units| Extension::Routing { units, left: 0 }),
        (1..20_u8).prop_map(Extension::Authentication),
        Just(Extension::Fragment { offset: 0, more: false }),
    ]
}

proptest! {
    #[test]
    fn any_ipv4_datagram_reads_back(
        source: ([u8; 4], u16), destination: ([u8; 4], u16), options in 0..=10_u8,
        tags in proptest::collection::vec(tag(), 0..=2), more: bool, length in 1..=1400_usize,
    ) {
        let frame = Frame::udp(source.into(), destination.into(), &payload(length))
            .behind(&tags).with_options(options).piece(0, more).build();
        prop_assert_eq!(Datagram::read(&frame.bytes), Some(Datagram {
            source: Address::v4(source.0), destination: Address::v4(destination.0),
            source_port: source.1, dest_port: destination.1,
            fragment: more, payload_at: frame.payload_at, payload_len: length as u16,
        }));
    }

    #[test]
    fn any_ipv6_datagram_reads_back(
        source: ([u8; 16], u16), destination: ([u8; 16], u16),
        chain in proptest::collection::vec(followed_extension(), 0..=LONGEST_CHAIN),
        tags in proptest::collection::vec(tag(), 0..=2), length in 1..=1400_usize,
    ) {
        let frame = Frame::udp(source.into(), destination.into(), &payload(length))
            .behind(&tags).with_extensions(&chain).build();
        prop_assert_eq!(Datagram::read(&frame.bytes), Some(Datagram {
            source: Address::v6(source.0), destination: Address::v6(destination.0),
            source_port: source.1, dest_port: destination.1,
            fragment: false, payload_at: frame.payload_at, payload_len: length as u16,
        }));
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_it_reads_lies_inside_the_frame(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(datagram) = Datagram::read(&bytes) {
            prop_assert!(datagram.payload_at <= bytes.len());
        }
    }
}
