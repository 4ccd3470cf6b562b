//! Which grants a command means. Never finds them.

use std::net::IpAddr;

use clap::Args;

use crate::admin::GrantFilter;
use crate::policy::{Service, ServiceFlaw};

/// Which grants are meant: those for which all of it is true.
#[derive(Args, Clone, Debug)]
pub(super) struct Which {
    /// For this address
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// Of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Of this action
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// To this service: tcp/22
    #[arg(long, value_name = "SERVICE", value_parser = service)]
    service: Option<Service>,
}

impl From<Which> for GrantFilter {
    fn from(Which { source, user, action, service }: Which) -> Self {
        Self { source, user, action, service }
    }
}

fn service(text: &str) -> Result<Service, ServiceFlaw> {
    text.parse()
}
