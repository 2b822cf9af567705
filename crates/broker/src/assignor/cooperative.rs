//! The cooperative sticky assignor (KIP-429).

use brokerlab_event::StoreId;

use super::{Claims, Subscriber, sticky};

/// The same as [`sticky`](super::sticky()), but what moves from one member to another is withheld from both: its owner learns from
/// that to give it up, and a second rebalance gives it to the other. So nobody has to stop reading what stays.
///
/// The answer has one entry for each member, in the order of `members`.
pub fn cooperative_sticky(topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
    let claims = Claims::new(topics, members);
    let mut shares = sticky::shares(topics, members, &claims);
    for (member, share) in shares.iter_mut().enumerate() {
        share.retain(|at| !claims.contested[*at] && claims.owner[*at].is_none_or(|owner| owner == member));
    }
    claims.stores(shares)
}
