//! The expressions and statements of `nft` that our own table is made of. Never decides where one stands.

use std::time::Duration;

use nftables::expr::{CT, Elem, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField};
use nftables::schema::SetType;
use nftables::stmt::{Accept, AnonymousCounter, Counter, Drop, JumpTarget, Match, Operator, Statement};
use siglatch_common::address::Address;

use crate::gate::Grant;
use crate::policy::{Protocol, Service};

use super::target::Version;

/// Whole seconds are all that `nft -j` takes: rounded up.
pub(super) fn granted(grant: &Grant) -> Expression<'_> {
    let [protocol, port] = service_fields(grant.key.service);
    let source = address(grant.key.source);
    let key = match grant.key.destination {
        None => concat([source, protocol, port]),
        Some(destination) => concat([source, address(destination), protocol, port]),
    };
    Expression::Named(NamedExpression::Elem(Elem {
        val: Box::new(key),
        timeout: Some(whole_seconds(grant.ttl)),
        comment: (!grant.label.is_empty()).then(|| grant.label.as_str().into()),
        ..Elem::default()
    }))
}

pub(super) fn whole_seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).clamp(1, LONGEST_SECONDS)
}

pub(super) fn service_fields(service: Service) -> [Expression<'static>; 2] {
    [Expression::String(service.protocol.label().into()), Expression::Number(u32::from(service.port))]
}

pub(super) fn address(address: Address) -> Expression<'static> {
    Expression::String(address.to_string().into())
}

pub(super) const fn address_type(version: Version) -> SetType {
    match version {
        Version::V4 => SetType::Ipv4Addr,
        Version::V6 => SetType::Ipv6Addr,
    }
}

pub(super) fn concat<'a, const N: usize>(fields: [Expression<'a>; N]) -> Expression<'a> {
    Expression::Named(NamedExpression::Concat(fields.into()))
}

pub(super) fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

pub(super) fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

pub(super) fn set_named(name: &str) -> Expression<'static> {
    Expression::String(format!("@{name}").into())
}

pub(super) fn equal<'a>(left: Expression<'a>, right: Expression<'a>) -> Statement<'a> {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

pub(super) fn established() -> Statement<'static> {
    let states = ["established", "related"].map(|state| Expression::String(state.into()));
    // `in` asks for one of the flags, `==` for all of them at once.
    Statement::Match(Match { left: tracked("state"), right: Expression::List(states.into()), op: Operator::IN })
}

pub(super) fn begun_outside() -> Statement<'static> {
    equal(tracked("direction"), Expression::String("original".into()))
}

pub(super) fn of_protocol(protocol: Protocol) -> Statement<'static> {
    equal(meta(MetaKey::L4proto), Expression::String(protocol.label().into()))
}

pub(super) fn tracked(key: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir: None }))
}

pub(super) fn accept() -> Statement<'static> {
    Statement::Accept(Some(Accept {}))
}

pub(super) fn drop_it() -> Statement<'static> {
    Statement::Drop(Some(Drop {}))
}

pub(super) fn counted() -> Statement<'static> {
    Statement::Counter(Counter::Anonymous(Some(AnonymousCounter { packets: None, bytes: None })))
}

pub(super) fn jump(chain: &'static str) -> Statement<'static> {
    Statement::Jump(JumpTarget { target: chain.into() })
}

/// Ten years, as for elements; `nft` reads a signed 32-bit number.
const LONGEST_SECONDS: u32 = 10 * 366 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::MAX), LONGEST_SECONDS);
    }
}
