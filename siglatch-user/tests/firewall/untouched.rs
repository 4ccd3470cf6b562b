//! A firewall that is not to be touched: everything succeeds, and nothing is read or written.

use siglatch_user::config::Firewall as Settings;
use siglatch_user::edge::firewall::{Firewall, Restored};

use crate::namespace::{in_namespace, nft};
use crate::{grant, now, open};

#[test]
fn what_is_there_stays_as_it_is_and_is_not_taken_over() {
    in_namespace(|| {
        let granted = grant("192.0.2.7", "tcp/22", 300);
        open(&[62201]).write(std::slice::from_ref(&granted), now()).unwrap();
        let before = nft("-ta list ruleset");

        Firewall::check(&Settings::Untouched, &[62201]).unwrap();
        let (mut firewall, found) = Firewall::open(&Settings::Untouched, &[62201], now()).unwrap();
        assert_eq!(found, []);
        assert!(firewall.watch().unwrap().is_none());
        firewall.revoke(&[granted.key]).unwrap();
        firewall.write(&[grant("192.0.2.8", "tcp/22", 300)], now()).unwrap();
        assert_eq!(firewall.restore(&[grant("192.0.2.9", "tcp/22", 300)], now()).unwrap(), Restored::default());

        assert_eq!(nft("-ta list ruleset"), before);
        let grants = nft("list set inet siglatch grants_v4");
        assert!(grants.contains("192.0.2.7") && !grants.contains("192.0.2.8") && !grants.contains("192.0.2.9"));
    });
}
